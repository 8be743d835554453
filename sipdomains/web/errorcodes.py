"""What each code of a notification or webhook attempt means and how to mend it (errors.md).

Pure data. ``who`` names whose turn it is: caller, application, operator, network or server.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CodeInfo:
    code: int
    title: str
    mend: str
    who: str


_DOCUMENT = "Fix the TwiML that the URL returns; the steps below show it with its line numbers."
_REACH = "Check that the application runs and that this server can reach its address and port."
_TLS = "Renew or correct the certificate of the application's server."
_IGNORED = "The call went on with the default. Correct the attribute in the document."

_TABLE: tuple[tuple[int, str, str, str], ...] = (
    # account and limits
    (10003, "The account is suspended or closed",
     "Set the account to active if it may take calls again.", "operator"),
    (10004, "The limit of concurrent calls is reached",
     "Wait for calls to end, or raise the limit of the domain or the account.", "operator"),
    # webhook
    (11100, "The URL is not usable",
     "Enter a whole http or https URL on the domain, or correct it in the document.",
     "application"),
    (11200, "The application gave no usable answer",
     "The answer must be 2xx with TwiML and come within 15 s. See the attempt for what came.",
     "application"),
    (11201, "The connection to the application timed out", _REACH, "application"),
    (11202, "The application's server refused the connection",
     "Nothing listens on that port: start the application or correct the URL.", "application"),
    (11203, "The whole time allowed for the request was used up",
     "Make the application answer faster, or allow it more time.", "application"),
    (11205, "The network failed during the request", _REACH, "network"),
    (11206, "What came back is not HTTP",
     "Check the scheme and the port: plain HTTP to an HTTPS port looks like this.", "application"),
    (11210, "The host name does not resolve",
     "Correct the host in the URL, or its DNS entry.", "application"),
    (11215, "Too many redirects", "Let the URL answer directly instead of redirecting in a circle.",
     "application"),
    (11220, "The TLS handshake failed",
     "The application's server must speak TLS 1.2 or newer on that port.", "application"),
    (11235, "The certificate is for another name", _TLS, "application"),
    (11236, "The certificate has expired or is not valid yet", _TLS, "application"),
    (11237, "The certificate is not trusted",
     "Use a certificate of a known authority, or turn verification off for tests.", "application"),
    (11240, "The edge in the URL's fragment is not valid", "Remove it from the URL.",
     "application"),
    (11241, "The edge in the URL's fragment is not supported", "Remove it from the URL.",
     "application"),
    (11242, "The interconnect in the URL's fragment is not valid", "Remove it from the URL.",
     "application"),
    (11243, "The retry policy in the URL's fragment is not valid",
     "Use rp=4xx, 5xx, ct, rt or all.", "application"),
    (11251, "The answer broke the HTTP protocol fatally",
     "Look at the application's server or the proxy before it.", "application"),
    (11750, "The answer is larger than 64 kB", "Split the document and lead on with Redirect.",
     "application"),
    (11770, "The answer announced a body and sent none",
     "Look at the application's server: it ended a chunked answer without content.",
     "application"),
    # document
    (12100, "The document is not well-formed XML",
     "An unescaped &, text before <?xml or an HTML error page are the usual causes. " + _DOCUMENT,
     "application"),
    (12101, "The document's version is not supported", _DOCUMENT, "application"),
    (12102, "The document's root is not <Response>", _DOCUMENT, "application"),
    (12200, "The document holds something that TwiML does not know",
     "It was skipped. " + _DOCUMENT, "application"),
    (12300, "The content type is not usable",
     "Answer with text/xml for TwiML, audio types for audio, text/plain for text.", "application"),
    (12400, "An internal failure of this server",
     "The server log at that time tells more. Report it if it comes again.", "server"),
    (15003, "The status callback URL answered with an error",
     "Look at the application's handler of status callbacks.", "application"),
    (15004, "A relative URL in a document that came without one",
     "Write whole URLs in inline documents.", "application"),
    # verbs
    (13410, "Play: loop is not valid", _IGNORED, "application"),
    (13420, "Play: the content type is no audio",
     "Serve a WAV, MP3, AIFF, GSM or μ-law file with its right content type.", "application"),
    (13430, "Play: digits are not valid", _IGNORED, "application"),
    (13510, "Say: loop is not valid", _IGNORED, "application"),
    (13511, "Say: the voice is not known", _IGNORED, "application"),
    (13512, "Say: the language is not known", _IGNORED, "application"),
    (13513, "Say: the rate is not valid", _IGNORED, "application"),
    (13520, "Say: there is nothing to say", "Put text into the verb, or leave it out.",
     "application"),
    (13521, "Say: the text is too long", "It was cut. Spread it over several Say verbs.",
     "application"),
    (13710, "Redirect: the method is not valid", _IGNORED, "application"),
    (13750, "The verb is not supported any more", "It was skipped: do without it.",
     "application"),
    (13810, "Reject: the reason is not valid", _IGNORED, "application"),
    (13910, "Pause: the length is not valid", _IGNORED, "application"),
    # SIP and media
    (32006, "The request passed too many hops",
     "A proxy between the caller and this server routes in a circle.", "network"),
    (32011, "The caller's side broke the SIP rules or went away",
     "The ladder shows the last messages; look at the phone, PBX or proxy that sent them.",
     "network"),
    (32014, "No audio came from the caller",
     "Usually a firewall or NAT: the RTP ports must be open for UDP, and the address that this "
     "server announces must be reachable.", "network"),
    (32015, "The maximum length of a call was reached",
     "Nothing to mend, unless the call should have ended by itself.", "operator"),
    (32022, "Our answer was never acknowledged",
     "The 200 does not reach the caller, or its ACK does not reach us: check the address that "
     "this server announces, and NAT.", "network"),
    (32102, "The media description does not fit",
     "Allow PCMU or PCMA (G.711) on the phone or PBX.", "caller"),
    (32103, "The INVITE came without a media description", "Look at the caller's configuration.",
     "caller"),
    (32105, "The Contact of the caller points to its own localhost",
     "Set the phone's or PBX's own address; calls work only as long as its NAT keeps the way open.",
     "caller"),
    (32106, "The From user is not the authenticated user",
     "Use the same name for both on the phone, or turn that check off on the domain.", "caller"),
    (32200, "The call is not permitted",
     "Check the name that was dialled, and that the domain has an access control list or a "
     "credential list.", "operator"),
    (32201, "The source address is not allowed",
     "Add the address to an access control list of the domain, if the caller is known.",
     "operator"),
    (32202, "Wrong user name or password",
     "Correct them on the phone, or set the password anew in the credential list.", "caller"),
    (32207, "Encrypted media offered to a domain that is not secure",
     "Turn SRTP off on the phone, or make the domain secure.", "caller"),
    (32208, "The domain takes encrypted media only", "Turn SRTP on on the phone.", "caller"),
    (32209, "The domain takes TLS only", "Set the phone to transport TLS.", "caller"),
    # our own
    (59900, "The verb is not supported by this version", "It was skipped: do without it.",
     "application"),
    (59901, "The application could not be asked: the broker is down",
     "Look at the Celery broker and its workers.", "server"),
    (59902, "The address is not allowed by the outbound network policy",
     "Use a public address, or allow its network in EGRESS_ALLOW_NETWORKS.", "operator"),
    (59903, "Too many requests to applications at once",
     "Add workers, or find the application that is slow.", "operator"),
    (59904, "The documents lead in a circle",
     "Each one only redirected to the next: let one of them say or ask something.",
     "application"),
    (59910, "The node was shutting down", "Nothing, if it was meant; callers may try again.",
     "server"),
    (59911, "The node is overloaded", "Add nodes, or lower the rate of calls.", "server"),
    (59912, "The database did not answer", "Look at the database and at the server log.", "server"),
    (59913, "No media worker or RTP port was free",
     "Widen RTP_PORT_RANGE or raise MEDIA_WORKERS.", "server"),
    (59914, "The media worker of the call died", "The server log tells why; others go on.",
     "server"),
)  # fmt: skip

_CODES = {row[0]: CodeInfo(*row) for row in _TABLE}

_VERBS = (
    (13201, 13257, "Dial"),
    (13310, 13340, "Gather"),
    (13410, 13430, "Play"),
    (13510, 13521, "Say"),
    (13610, 13699, "Record"),
    (14201, 14207, "Enqueue"),
    (14210, 14213, "Dial Queue"),
    (14300, 14300, "Start or Stop"),
    (16001, 16028, "Conference"),
)


def explain(code: int) -> CodeInfo:
    """The entry of ``code``; for a code without one, what its range tells."""
    known = _CODES.get(code)
    if known is not None:
        return known
    for first, last, verb in _VERBS:
        if first <= code <= last:
            return CodeInfo(code, f"{verb}: something in it is not valid", _DOCUMENT, "application")
    return CodeInfo(code, "", "The message and the server log tell more.", "")
