"""3xx to our INVITE: which of its Contacts to try, and when not to follow (RFC 3261 8.1.3.4).

The rules are the 3xx row of sip-domain.md section 8. Whether a target's *address* is private shows
only when it is resolved: that is judged there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sipserver.sip.errors import RemoteProtocolError
from sipserver.sip.message import Response
from sipserver.sip.uri import NameAddr, Params, SipUri, equivalent

MAX_REDIRECTS: Final = 5
"""Redirects followed for one target of ours."""

MAX_TARGETS: Final = 10
"""Contacts tried of one response."""

REDIRECT_FAILED: Final = 32219

_FOLLOWED: Final = (300, 301, 302)


def quality(params: Params) -> float:
    """Return the ``q`` of a Contact, 0 to 1; 1 when it is absent or unreadable (RFC 3261 20.10)."""
    text = params.get("q")
    if not text or len(text) > 5 or not text.isascii() or not text.replace(".", "", 1).isdigit():
        return 1.0
    return min(float(text), 1.0)


@dataclass(frozen=True, slots=True)
class Redirected:
    """URIs to try, best first, without headers. ``passed_over`` says in words which Contacts are
    not tried and why."""

    targets: tuple[SipUri, ...]
    passed_over: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RedirectRefused:
    """The redirect is not followed: the leg fails with the 3xx. ``message`` goes with ``code``
    (errors.md) into the log."""

    message: str
    code: int = REDIRECT_FAILED


def follow(
    response: Response,
    *,
    tried: Sequence[SipUri],
    followed: int,
    registered: bool = False,
    own_domains: Collection[str] = (),
) -> Redirected | RedirectRefused:
    """Decide about a 3xx.

    ``tried`` are the URIs this leg has been sent to or will be (loop detection), ``followed`` how
    many redirects it has followed before, ``registered`` whether it rings a registered endpoint,
    ``own_domains`` those hosts of the Contacts (``contact_hosts``) that are domains of ours.
    """
    if registered:
        return RedirectRefused("A registered endpoint may not redirect")
    if response.status not in _FOLLOWED:
        return RedirectRefused(f"Status {response.status} is not followed")
    if followed >= MAX_REDIRECTS:
        return RedirectRefused(f"More than {MAX_REDIRECTS} redirects")
    try:
        contacts = response.contacts
    except RemoteProtocolError as error:
        return RedirectRefused(f"Contact of the redirect: {error.message}")
    targets: list[SipUri] = []
    passed_over: list[str] = []
    for contact in sorted(contacts, key=lambda each: -quality(each.params)):
        target = _target(contact)
        if isinstance(target, str):
            passed_over.append(target)
        elif target.domain in own_domains:
            passed_over.append(f"{target.domain} is a domain of our own")
        elif any(equivalent(target, one) for one in (*tried, *targets)):
            passed_over.append(f"{target.bare()} has been tried already")
        elif len(targets) < MAX_TARGETS:
            targets.append(target)
    if targets:
        return Redirected(tuple(targets), tuple(passed_over))
    return RedirectRefused("; ".join(passed_over) or "The redirect names no target")


def contact_hosts(response: Response) -> frozenset[str]:
    """Return the hosts of the Contacts as domain tables spell them; none if they are malformed."""
    try:
        contacts = response.contacts
    except RemoteProtocolError:
        return frozenset()
    return frozenset(each.uri.domain for each in contacts if isinstance(each.uri, SipUri))


def _target(contact: NameAddr) -> SipUri | str:
    """The URI to send to, or why there is none. Headers would be the redirecting party's word in
    our INVITE, and ``method`` is not for a Request-URI (RFC 3261 19.1.5)."""
    uri = contact.uri
    if not isinstance(uri, SipUri):
        return f"A target of the scheme {uri.scheme} is not SIP"
    return replace(uri, headers=None, params=uri.params.without("method"))
