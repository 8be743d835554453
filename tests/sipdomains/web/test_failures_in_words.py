"""The failures of sip-domain.md section 4: each is told in words that an operator understands.

Left out are the rows that make no call: what is dropped in silence, unknown methods, requests for
unknown dialogs. The page names the cause, whose turn it is, and what to do.
"""

import pytest

from sipdomains.models import Notification
from sipdomains.web.verdict import verdict
from sipserver.calls.termination import CAUSES
from tests.sipdomains.web.conftest import NOON

CALLER, OPERATOR = "The caller's side has to change something.", "You (the operator) can mend this."
APPLICATION, NETWORK = "The web application has to be mended.", "Look at the network between"
SERVER, NOBODY = "Look at this server.", "Nobody has to do anything."

# (situation, cause, SIP answer to the INVITE, the cause in words, whose turn, how to mend it)
FAILURES = [
    ("R-URI host is not a known domain", "unknown-domain", 404,
     "No SIP domain of that name is set up here", CALLER, "Correct the name on the phone"),
    ("domain has no auth mapped", "no-auth-mapped", 403,
     "neither an IP access control list nor a credential list", OPERATOR, "Map an access control"),
    ("source not in ACL", "source-not-allowed", 403,
     "The source address is in none of the domain's IP access control lists", OPERATOR,
     "Add the address to an access control list"),
    ("credentials needed, none sent", "challenge-unanswered", 407,
     "was asked for user name and password and sent none", CALLER, "Enter user name and password"),
    ("wrong credentials", "bad-credentials", 403,
     "Wrong user name or password", CALLER, "Correct them on the phone"),
    ("From is another user", "user-mismatch", 403,
     "differs from the user name of the credentials", CALLER, "Use the same name for both"),
    ("account suspended or closed", "account-inactive", 403,
     "The account is suspended or closed", OPERATOR, "Set the account to active"),
    ("concurrency limit", "concurrency-limit", 503,
     "The concurrent-call limit is reached", OPERATOR, "raise the limit"),
    ("calls-per-second limit", "cps-limit", 503,
     "The limit of incoming calls per second is reached", OPERATOR,
     "Callers may try again after a second"),
    ("secure domain, not TLS", "tls-required", 403,
     "it takes TLS only", CALLER, "Set the phone to transport TLS"),
    ("secure domain, RTP offered", "srtp-required", 488,
     "it takes SRTP only", CALLER, "Turn SRTP on"),
    ("SRTP-only offer elsewhere", "srtp-refused", 488,
     "SRTP is not accepted", CALLER, "Turn SRTP off"),
    ("no common codec", "no-common-codec", 488,
     "offers no codec that we speak (PCMU, PCMA)", CALLER, "Allow PCMU or PCMA"),
    ("bad SDP", "bad-sdp", 400,
     "The SDP of the INVITE cannot be read", CALLER, "Look at the media description (SDP)"),
    ("broken INVITE", "protocol", 400,
     "The INVITE breaks the SIP rules", CALLER, "the phone or PBX that sent it"),
    ("hop count exhausted", "hops-exhausted", 483,
     "a routing loop", NETWORK, "routes in a circle"),
    ("Reject busy", "reject-busy", 486,
     "The application rejected the call as busy", NOBODY, "The application decided so"),
    ("Reject", "reject", 404,
     "The application rejected the call", NOBODY, "The application decided so"),
    ("webhook failed, announcement", "application-error", 200,
     "gave no usable TwiML; the caller heard the error announcement", APPLICATION, "notifications"),
    ("webhook failed, 503", "application-error-503", 503,
     "gave no usable TwiML", APPLICATION, "notifications"),
    ("CANCEL before final answer", "canceled", 487,
     "The caller gave up before the call was answered", NOBODY, ""),
    ("caller gives up while Dial rings", "caller-gone", 487,
     "The caller was gone before the called party answered", NOBODY, ""),
    ("empty Response", "document-ended", 200, "The application's TwiML ended", NOBODY, ""),
    ("first verb Hangup", "hangup-verb", 200, "The application hung up", NOBODY, ""),
    ("no ACK to our 200", "ack-timeout", 200,
     "never acknowledged our answer", NETWORK, "check the address that this server announces"),
    ("no RTP for long", "no-audio", 200,
     "No audio came from the caller", NETWORK, "firewall or NAT"),
    ("max call length", "max-duration", 200,
     "The maximum call length was reached", NOBODY, "Nothing to mend"),
    ("server shutting down", "draining", 503,
     "The node is shutting down", SERVER, "callers may try again"),
]  # fmt: skip

# What went wrong with the application: the code of the notification, and what the verdict adds.
APPLICATION_FAULTS = [
    ("nothing listens", 11202, "The application's server refused the connection",
     "start the application or correct the URL"),
    ("no such host", 11210, "The host name does not resolve", "Correct the host in the URL"),
    ("non-2xx", 11200, "gave no usable answer", "The answer must be 2xx with TwiML"),
    ("too slow", 11203, "time allowed for the request was used up", "answer faster"),
    ("certificate", 11236, "The certificate has expired", "certificate"),
    ("bad XML", 12100, "", "Fix the TwiML that the URL returns"),
]  # fmt: skip


def failed(make_call, cause, sip_status):
    row = CAUSES[cause]
    answered = {} if sip_status == 200 else {"answered_at": None, "duration": None}
    return make_call(
        cause=cause, reason=row.text, status=row.status, error_code=row.code,
        sip_status=sip_status, **answered,
    )  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("cause", "answer", "why", "turn", "mend"),
    [row[1:] for row in FAILURES],
    ids=[row[0] for row in FAILURES],
)
def test_page_names_the_cause_and_the_remedy(desk, make_call, cause, answer, why, turn, mend):
    assert CAUSES[cause].sip_status in (0, answer)
    page = desk.get(f"/calls/{failed(make_call, cause, answer).sid}/").content.decode()
    top = page.partition('<header class="verdict')[2].partition("</header>")[0]
    top = top.replace("&#x27;", "'")
    for words in (why, turn, mend):
        assert words in top
    assert (f"with {answer}" in top) == (answer not in (200, 487))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("code", "why", "mend"),
    [row[1:] for row in APPLICATION_FAULTS],
    ids=[row[0] for row in APPLICATION_FAULTS],
)
@pytest.mark.parametrize("cause", ["application-error", "application-error-503"])
def test_fault_of_the_application_is_named(make_call, cause, code, why, mend):
    call = failed(make_call, cause, CAUSES[cause].sip_status or 200)
    notes = [
        Notification(code=13321, level="warning", at=NOON),
        Notification(code=code, level="error", at=NOON),
        Notification(code=99999, level="error", at=NOON),
    ]
    found = verdict(call, [], notes)
    assert found.code == code
    assert why in found.mend
    assert mend in found.mend
