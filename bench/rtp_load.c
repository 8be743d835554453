/* RTP peer for bench/media.py: one socket per call, 50 packets a second each way.
 *
 * Usage: rtp_load CALLS WARMUP_S MEASURE_S SEND
 * Prints its ports on one line; then reads CALLS destination ports from standard input and starts.
 * At the end prints one JSON object. Spacing is taken from the kernel's receive timestamps, so that
 * its own delays are not blamed on the server. SEND 0: it only listens. */
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

static uint64_t histogram[BUCKETS];
static uint64_t received, lost, sent;
static int64_t worst;

static int64_t now_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void take(struct call *call, int measuring) {
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
            int64_t deviation = llabs(at - call->last_ns - FRAME_NS);
            int64_t bucket = deviation / 10000;
            histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
            if (deviation > worst) worst = deviation;
        } else {
            lost += (uint16_t)(step - 1);
        }
    }
    call->last_ns = at;
    call->last_sequence = sequence;
}

static double percentile(double share) {
    uint64_t total = 0, seen = 0;
    for (int i = 0; i < BUCKETS; i++) total += histogram[i];
    for (int i = 0; i < BUCKETS; i++) {
        seen += histogram[i];
        if (seen && seen >= total * share) return (i + 1) / 100.0;
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    int calls = atoi(argv[1]), sending = atoi(argv[4]);
    double warmup = atof(argv[2]), measure = atof(argv[3]);
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
            sent += send(call[i].fd, packet, sizeof packet, 0) > 0;
        }
        int count = epoll_wait(poll, events, 256, 0);
        for (int i = 0; i < count; i++) take(&call[events[i].data.u32], now >= begin);
    }
    printf("{\"sent\": %lu, \"received\": %lu, \"lost\": %lu, \"p50\": %.2f, \"p95\": %.2f, "
           "\"p99\": %.2f, \"max\": %.2f}\n",
           sent, received, lost, percentile(0.5), percentile(0.95), percentile(0.99), worst / 1e6);
    return 0;
}
