/* RTP peer for bench/media.py and bench/bridges.py: one socket per call, 50 packets a second each way.
 *
 * Usage: rtp_load CALLS WARMUP_S MEASURE_S SEND [PT PT ALPHABET ALPHABET ALPHABET ALPHABET]
 * Prints its ports on one line; then reads CALLS destination ports from standard input and starts.
 * At the end prints one JSON object. Spacing is taken from the kernel's receive timestamps, so that
 * its own delays are not blamed on the server. SEND 0: it only listens.
 * For bridges: payload types of the calls with even and with odd numbers, and alphabets of 16 octets in
 * hexadecimal, which the even and odd ones send and those that the even and odd ones receive. The payload
 * then begins with the time at which it was sent, a letter for each four bits: letters survive that the
 * server converts the codec. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUCKETS 20000 /* of 10 microseconds */
#define FRAME_NS 20000000LL

struct call {
    int fd;
    uint16_t sequence, last_sequence;
    int64_t last_ns;
    struct sockaddr_in peer;
};

struct histogram {
    uint64_t bucket[BUCKETS];
    int64_t worst;
};

static struct histogram deviations, delays;
static uint64_t received, lost, sent;
static int stamping;
static unsigned char letters[2][16]; /* to send */
static signed char meaning[2][256];  /* of what is received */

static void record(struct histogram *histogram, int64_t ns) {
    int64_t bucket = ns < 0 ? 0 : ns / 10000;
    histogram->bucket[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    if (ns > histogram->worst) histogram->worst = ns;
}

static void stamp(unsigned char *payload, int side, int64_t ns) {
    for (int i = 0; i < 16; i++) payload[i] = letters[side][ns >> 4 * i & 15];
}

static int64_t stamped(const unsigned char *payload, int side) {
    int64_t ns = 0;
    for (int i = 0; i < 16; i++) {
        if (meaning[side][payload[i]] < 0) return -1;
        ns |= (int64_t)meaning[side][payload[i]] << 4 * i;
    }
    return ns;
}

static void spell(const char *hex, unsigned char *alphabet) {
    for (int i = 0; i < 16; i++) {
        unsigned octet = 0;
        sscanf(hex + 2 * i, "%2x", &octet);
        alphabet[i] = octet;
    }
}

static int64_t now_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void take(struct call *call, int side, int measuring) {
    unsigned char packet[2048], control[64];
    struct iovec iov = {packet, sizeof packet};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
                             .msg_controllen = sizeof control};
    ssize_t size = recvmsg(call->fd, &message, MSG_DONTWAIT);
    if (size < 12) return;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (!header || header->cmsg_type != SCM_TIMESTAMPNS) return;
    struct timespec stamp;
    memcpy(&stamp, CMSG_DATA(header), sizeof stamp);
    int64_t at = (int64_t)stamp.tv_sec * 1000000000LL + stamp.tv_nsec;
    uint16_t sequence = packet[2] << 8 | packet[3];
    if (call->last_ns && measuring) {
        uint16_t step = sequence - call->last_sequence;
        received++;
        if (step == 1) {
            record(&deviations, llabs(at - call->last_ns - FRAME_NS));
        } else {
            lost += (uint16_t)(step - 1);
        }
    }
    if (stamping && measuring && size >= 28) {
        int64_t then = stamped(packet + 12, side);
        if (then >= 0) record(&delays, at - then);
    }
    call->last_ns = at;
    call->last_sequence = sequence;
}

static double percentile(const struct histogram *histogram, double share) {
    uint64_t total = 0, seen = 0;
    for (int i = 0; i < BUCKETS; i++) total += histogram->bucket[i];
    for (int i = 0; i < BUCKETS; i++) {
        seen += histogram->bucket[i];
        if (seen && seen >= total * share) return (i + 1) / 100.0;
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 5 && argc != 11) return 2;
    int calls = atoi(argv[1]), sending = atoi(argv[4]);
    double warmup = atof(argv[2]), measure = atof(argv[3]);
    int payload_types[2] = {0, 0};
    stamping = argc == 11;
    memset(meaning, -1, sizeof meaning);
    for (int side = 0; stamping && side < 2; side++) {
        unsigned char alphabet[16];
        payload_types[side] = atoi(argv[5 + side]);
        spell(argv[7 + side], letters[side]);
        spell(argv[9 + side], alphabet);
        for (int i = 0; i < 16; i++) meaning[side][alphabet[i]] = i;
    }
    struct rlimit files = {65536, 65536};
    setrlimit(RLIMIT_NOFILE, &files);
    struct call *call = calloc(calls, sizeof *call);
    int poll = epoll_create1(0), on = 1;
    for (int i = 0; i < calls; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t length = sizeof address;
        call[i].fd = socket(AF_INET, SOCK_DGRAM, 0);
        setsockopt(call[i].fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
        if (bind(call[i].fd, (struct sockaddr *)&address, sizeof address)) return perror("bind"), 1;
        getsockname(call[i].fd, (struct sockaddr *)&address, &length);
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        epoll_ctl(poll, EPOLL_CTL_ADD, call[i].fd, &event);
        printf("%d ", ntohs(address.sin_port));
    }
    puts("");
    fflush(stdout);
    for (int i = 0; i < calls; i++) {
        int port;
        if (scanf("%d", &port) != 1) return 1;
        call[i].peer = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port),
                                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        connect(call[i].fd, (struct sockaddr *)&call[i].peer, sizeof call[i].peer);
    }
    unsigned char packet[172] = {0x80};
    struct epoll_event events[256];
    int64_t start = now_ns(CLOCK_MONOTONIC), begin = start + (int64_t)(warmup * 1e9);
    int64_t end = begin + (int64_t)(measure * 1e9);
    for (int64_t slot = 0;; slot++) {
        int64_t due = start + slot * 1000000LL;
        struct timespec until = {due / 1000000000LL, due % 1000000000LL};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        int64_t now = now_ns(CLOCK_MONOTONIC);
        if (now >= end) break;
        for (int i = slot % 20; sending && i < calls; i += 20) {
            uint16_t sequence = call[i].sequence++;
            uint32_t timestamp = htonl(sequence * 160u), ssrc = htonl(i + 1);
            packet[2] = sequence >> 8;
            packet[3] = sequence & 255;
            memcpy(packet + 4, &timestamp, 4);
            memcpy(packet + 8, &ssrc, 4);
            packet[1] = payload_types[i & 1];
            if (stamping) stamp(packet + 12, i & 1, now_ns(CLOCK_REALTIME));
            sent += send(call[i].fd, packet, sizeof packet, 0) > 0;
        }
        int count = epoll_wait(poll, events, 256, 0);
        for (int i = 0; i < count; i++) {
            int number = events[i].data.u32;
            take(&call[number], number & 1, now >= begin);
        }
    }
    printf("{\"sent\": %lu, \"received\": %lu, \"lost\": %lu, \"p50\": %.2f, \"p95\": %.2f, "
           "\"p99\": %.2f, \"max\": %.2f, \"delay_p50\": %.2f, \"delay_p99\": %.2f, "
           "\"delay_max\": %.2f}\n",
           sent, received, lost, percentile(&deviations, 0.5), percentile(&deviations, 0.95),
           percentile(&deviations, 0.99), deviations.worst / 1e6, percentile(&delays, 0.5),
           percentile(&delays, 0.99), delays.worst / 1e6);
    return 0;
}
