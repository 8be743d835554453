"""A domain in plain sentences: who may call, and what happens then. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sipdomains.models import SipDomain
from sipdomains.redaction import masked
from sipdomains.web.formatting import duration_words


@dataclass(frozen=True, slots=True)
class Sentence:
    """``tone`` good, warn, bad or plain."""

    text: str
    tone: str = "plain"


def guarded_by(has_acl: bool, has_credentials: bool) -> str:
    """What a caller has to satisfy, in a few words."""
    if has_acl and has_credentials:
        return "listed address and password"
    if has_acl:
        return "listed address"
    if has_credentials:
        return "password"
    return "nothing mapped: takes no calls"


def who_may_call(
    domain: SipDomain, networks: Sequence[str], lists: int, users: int, user_lists: int
) -> list[Sentence]:
    """``networks`` of the ``lists`` access control lists that guard calls, ``users`` of the
    ``user_lists`` credential lists."""
    found = [_guard(domain, networks, lists, users, user_lists)]
    if domain.secure:
        found.append(Sentence("Only over TLS with encrypted media (SRTP).", "warn"))
    if lists and domain.drop_unlisted:
        found.append(Sentence("Whoever calls from another address gets no answer at all."))
    if user_lists and domain.match_from_user:
        found.append(Sentence("The user of From must be the one who authenticates."))
    if domain.max_concurrent_calls:
        found.append(
            Sentence(f"At most {_count(domain.max_concurrent_calls, 'call')} at the same time.")
        )
    if domain.max_incoming_per_second:
        new = _count(domain.max_incoming_per_second, "new call")
        found.append(Sentence(f"At most {new} in a second."))
    return found


def _guard(
    domain: SipDomain, networks: Sequence[str], lists: int, users: int, user_lists: int
) -> Sentence:
    if not domain.enabled:
        return Sentence("Nobody: the domain is switched off, callers hear 404.", "bad")
    if domain.account.status != "active":
        return Sentence(f"Nobody: the account is {domain.account.status}.", "bad")
    if not lists and not user_lists:
        return Sentence(
            "Nobody: no IP access control list and no credential list is mapped to the domain.",
            "bad",
        )
    if lists and not networks:
        return Sentence("Nobody: the mapped access control lists are empty.", "bad")
    if user_lists and not users:
        return Sentence("Nobody: the mapped credential lists hold no user.", "bad")
    where = f"from {_listed(networks)}"
    if lists and user_lists:
        return Sentence(
            f"{_count(users, 'user')} with the right password, and only {where}: both must hold.",
            "good",
        )
    if lists:
        wide = [network for network in networks if network.endswith("/0")]
        if wide:
            return Sentence(
                f"Everybody, without a password: the lists hold {', '.join(wide)}.", "bad"
            )
        return Sentence(f"Whoever calls {where}, without a password.", "good")
    return Sentence(f"{_count(users, 'user')} with the right password, from any address.", "good")


def what_happens(domain: SipDomain) -> list[Sentence]:
    """Of a call that is let in."""
    if not domain.voice_url:
        return [
            Sentence(
                "There is no voice URL: calls are taken and then fail, because nobody says what "
                "to do with them.",
                "bad",
            )
        ]
    found = [
        Sentence(f"The server asks {_url(domain.voice_url, domain.voice_method)} what to do."),
    ]
    if domain.voice_fallback_url:
        fallback = _url(domain.voice_fallback_url, domain.voice_fallback_method)
        found.append(Sentence(f"If that fails it asks {fallback}."))
    else:
        found.append(Sentence("There is no fallback URL to ask when that fails.", "warn"))
    if domain.fail_with_503:
        found.append(Sentence("A call whose application fails is refused with 503."))
    else:
        found.append(Sentence("A call whose application fails is answered, told so, and hung up."))
    if domain.voice_status_callback_url:
        told = _url(domain.voice_status_callback_url, domain.voice_status_callback_method)
        found.append(Sentence(f"When a call has ended, {told} is told."))
    found.append(Sentence(f"A call lasts {duration_words(domain.max_call_seconds)} at most."))
    return found


def _url(url: str, method: str) -> str:
    return f"{masked(url)} ({method})"


def _listed(networks: Sequence[str]) -> str:
    single = all(network.endswith(("/32", "/128")) for network in networks)
    if single:
        return _count(len(networks), "listed address", "listed addresses")
    return _count(len(networks), "listed network", "listed addresses or networks")


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
