"""Offer and answer for one audio stream (RFC 3264).

One audio medium is accepted, with one codec and telephone-event; all other media are refused in
their place. Refusal codes are the log codes of errors.md section 7.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from sipserver.sdp.codecs import EVENTS, PCMA, PCMU, TELEPHONE_EVENT, Codec, payload_types
from sipserver.sdp.description import (
    MediaLine,
    SdpError,
    SessionDescription,
    parse_connection,
    parse_port,
)

BAD_SDP: Final = 32102
SRTP_NOT_ACCEPTED: Final = 32207
SRTP_REQUIRED: Final = 32208

# AVPF differs from AVP in RTCP timing only, and we ignore feedback.
_PLAIN: Final = frozenset({"RTP/AVP", "RTP/AVPF"})
_SECURE: Final = frozenset({"RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF"})
_MIRRORED: Final = {
    "sendrecv": "sendrecv",
    "sendonly": "recvonly",
    "recvonly": "sendonly",
    "inactive": "inactive",
}
# RFC 2543 hold: a peer without an address does not want to be sent anything (RFC 3264 8.4).
_SILENCED: Final = {"sendrecv": "recvonly", "sendonly": "inactive"}


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What we speak. ``codecs`` in our order of preference for offers of ours; an offer's own
    order decides in answers. ``ptimes_ms``: packet times we can send, default first.
    ``srtp_required``: the domain is secure."""

    codecs: tuple[Codec, ...] = (PCMU, PCMA)
    dtmf: bool = True
    ptimes_ms: tuple[int, ...] = (20,)
    rtcp_mux: bool = False
    srtp_required: bool = False


@dataclass(frozen=True, slots=True)
class LocalMedia:
    """Our side: IP address and RTP port, o= session id, and o= version, which the caller raises
    with each description that differs from the one before."""

    address: str
    port: int
    session_id: int
    version: int


@dataclass(frozen=True, slots=True)
class Answer:
    """An agreed session. ``sdp`` is our description: the answer, or our offer after
    ``accept_answer``. ``remote`` and ``rtcp`` are the peer's (address, port). ``payload_type`` and
    ``dtmf_payload`` go into packets both ways. ``direction`` is ours: ``recvonly`` and
    ``inactive`` forbid sending."""

    sdp: bytes
    remote: tuple[str, int]
    codec: str
    payload_type: int
    dtmf_payload: int | None
    ptime_ms: int
    direction: str
    rtcp: tuple[str, int]
    rtcp_mux: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no session: SIP status, log code and English text."""

    status: int
    code: int
    reason: str


def negotiate(
    offer: SessionDescription, capabilities: Capabilities, local: LocalMedia
) -> Answer | Refusal:
    """Answer an offer, initial or later: 400 for malformed parts, 488 if there is no stream that
    we can take."""
    try:
        index = _choose(offer, capabilities)
        if isinstance(index, Refusal):
            return index
        chosen = offer.media[index]
        agreed = _agree(offer, chosen, capabilities)
    except SdpError as error:
        return Refusal(400, BAD_SDP, str(error))
    # RFC 3264 6: the t= lines of the answer equal those of the offer.
    lines = _session_lines(local, offer.timing or ["0 0"])
    for position, medium in enumerate(offer.media):
        if position == index:
            lines += _audio_lines(
                local,
                chosen.protocol,
                [(agreed.payload_type, agreed.codec)],
                dtmf=agreed.dtmf_payload,
                ptime_ms=agreed.ptime_ms,
                direction=agreed.direction,
                rtcp_mux=agreed.rtcp_mux,
            )
        else:
            lines.append(f"m={medium.media} 0 {medium.protocol} {' '.join(medium.formats)}")
    return replace(agreed, sdp=_encode(lines))


def make_offer(capabilities: Capabilities, local: LocalMedia) -> bytes:
    """Return an offer of ours: for an INVITE without SDP, or for a call that we place."""
    lines = _session_lines(local, ["0 0"])
    lines += _audio_lines(
        local,
        "RTP/AVP",
        [(codec.payload_type, codec.name) for codec in capabilities.codecs],
        dtmf=TELEPHONE_EVENT.payload_type if capabilities.dtmf else None,
        ptime_ms=capabilities.ptimes_ms[0],
        direction="sendrecv",
        rtcp_mux=capabilities.rtcp_mux,
    )
    return _encode(lines)


def accept_answer(offer: bytes, answer_body: bytes) -> Answer | Refusal:
    """Read the answer to an offer that ``make_offer`` made. 400 when it is malformed, 488 when it
    takes nothing of what was offered."""
    offered = SessionDescription.parse(offer).media[0]
    numbers = payload_types(offered, (PCMU, PCMA, TELEPHONE_EVENT))
    codecs = [codec for _, codec in numbers]
    capabilities = Capabilities(
        codecs=tuple(codec for codec in codecs if codec is not TELEPHONE_EVENT),
        dtmf=TELEPHONE_EVENT in codecs,
        ptimes_ms=(_ptime(offered, (20,)),),
        rtcp_mux=offered.attribute("rtcp-mux") is not None,
    )
    try:
        answer = SessionDescription.parse(answer_body)
        index = _choose(answer, capabilities)
        if isinstance(index, Refusal):
            return index
        return replace(_agree(answer, answer.media[index], capabilities), sdp=offer)
    except SdpError as error:
        return Refusal(400, BAD_SDP, str(error))


def _choose(offer: SessionDescription, capabilities: Capabilities) -> int | Refusal:
    """Return the index of the first audio medium we can take."""
    protocols: set[str] = set()
    for index, medium in enumerate(offer.media):
        if medium.media != "audio" or medium.port == 0:
            continue
        protocols.add(medium.protocol)
        plain = medium.protocol in _PLAIN and not capabilities.srtp_required
        if plain and payload_types(medium, capabilities.codecs):
            return index
    if not protocols:
        return Refusal(488, BAD_SDP, "No audio is offered")
    if capabilities.srtp_required and protocols & _PLAIN:
        return Refusal(488, SRTP_REQUIRED, "SRTP is required")
    if protocols <= _SECURE:
        return Refusal(488, SRTP_NOT_ACCEPTED, "SRTP is not accepted")
    names = ", ".join(codec.name for codec in capabilities.codecs)
    return Refusal(488, BAD_SDP, f"No codec in common; we speak {names}")


def _agree(remote: SessionDescription, medium: MediaLine, capabilities: Capabilities) -> Answer:
    """Work out the terms of a medium that ``_choose`` chose; ``sdp`` is left empty."""
    address = medium.connection or remote.connection
    if address is None:
        raise SdpError("No c= line for the audio")
    direction = _MIRRORED[medium.direction or remote.direction or "sendrecv"]
    if address in ("0.0.0.0", "::"):  # noqa: S104  # compared, not bound
        direction = _SILENCED.get(direction, direction)
    payload_type, codec = payload_types(medium, capabilities.codecs)[0]
    events = payload_types(medium, (TELEPHONE_EVENT,)) if capabilities.dtmf else []
    mux = capabilities.rtcp_mux and medium.attribute("rtcp-mux") is not None
    return Answer(
        sdp=b"",
        remote=(address, medium.port),
        codec=codec.name,
        payload_type=payload_type,
        dtmf_payload=events[0][0] if events else None,
        ptime_ms=_ptime(medium, capabilities.ptimes_ms),
        direction=direction,
        rtcp=(address, medium.port) if mux else _rtcp(medium, address),
        rtcp_mux=mux,
    )


def _ptime(medium: MediaLine, possible: tuple[int, ...]) -> int:
    """Return the packet time the peer asks for if we can send it, else our default."""
    wanted = medium.attribute("ptime")
    for ptime in possible:
        if wanted is not None and wanted.strip() == str(ptime):
            return ptime
    return possible[0]


def _rtcp(medium: MediaLine, address: str) -> tuple[str, int]:
    """Return where the peer wants RTCP: ``a=rtcp`` (RFC 3605), else the port above RTP."""
    value = medium.attribute("rtcp")
    if value is None:
        return address, min(medium.port + 1, 65_535)
    port, _, rest = value.strip().partition(" ")
    return (parse_connection(rest) if rest else address), parse_port(port)


def _session_lines(local: LocalMedia, timing: list[str]) -> list[str]:
    family = _family(local.address)
    return [
        "v=0",
        f"o=- {local.session_id} {local.version} IN {family} {local.address}",
        "s=-",
        f"c=IN {family} {local.address}",
        *(f"t={value}" for value in timing),
    ]


def _audio_lines(
    local: LocalMedia,
    protocol: str,
    formats: list[tuple[int, str]],
    *,
    dtmf: int | None,
    ptime_ms: int,
    direction: str,
    rtcp_mux: bool,
) -> list[str]:
    numbers = [str(number) for number, _ in formats]
    maps = [f"a=rtpmap:{number} {name}/8000" for number, name in formats]
    if dtmf is not None:
        numbers.append(str(dtmf))
        maps += [f"a=rtpmap:{dtmf} {TELEPHONE_EVENT}", f"a=fmtp:{dtmf} {EVENTS}"]
    return [
        f"m=audio {local.port} {protocol} {' '.join(numbers)}",
        *maps,
        f"a=ptime:{ptime_ms}",
        f"a={direction}",
        *(["a=rtcp-mux"] if rtcp_mux else []),
    ]


def _family(address: str) -> str:
    return "IP6" if ":" in address else "IP4"


def _encode(lines: list[str]) -> bytes:
    # Lines taken over from an offer may hold octets that are no UTF-8.
    return "".join([f"{line}\r\n" for line in lines]).encode("utf-8", "surrogateescape")
