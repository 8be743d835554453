"""Cookies of one call, as JSON values that travel with each fetch (RFC 6265). Pure.

A cookie is ``[name, value, domain, host_only, path, secure, expires]``; ``expires`` is wall clock
in seconds or None for the end of the call. The workers keep no state of calls: what a reply
returns, the next fetch brings along.
"""

from __future__ import annotations

from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Any

from twimlrunner.webhooks.url import WebhookUrl

Cookie = list[Any]

MAX_COOKIES = 30
MAX_COOKIE_BYTES = 4096


def store(
    cookies: Iterable[Cookie], set_cookie: Iterable[str], url: WebhookUrl, now: float
) -> list[Cookie]:
    """``cookies`` after a response from ``url`` with these ``Set-Cookie`` values; oldest go first
    when there are too many."""
    kept = {(item[0], item[2], item[4]): item for item in cookies}
    for text in set_cookie:
        cookie = _parse(text, url, now)
        if cookie is not None:
            kept.pop((cookie[0], cookie[2], cookie[4]), None)
            kept[(cookie[0], cookie[2], cookie[4])] = cookie
    living = [item for item in kept.values() if item[6] is None or item[6] > now]
    return living[-MAX_COOKIES:]


def header(cookies: Iterable[Cookie], url: WebhookUrl, now: float) -> str:
    """The ``Cookie`` value for a request to ``url``, longest paths first; may be empty."""
    path = url.target.partition("?")[0]
    fitting = [
        item
        for item in cookies
        if (item[6] is None or item[6] > now)
        and (not item[5] or url.scheme == "https")
        and _domain_matches(url.host, item[2], host_only=item[3])
        and _path_matches(path, item[4])
    ]
    fitting.sort(key=lambda item: -len(item[4]))
    return "; ".join(f"{item[0]}={item[1]}" for item in fitting)


def _parse(text: str, url: WebhookUrl, now: float) -> Cookie | None:
    if len(text) > MAX_COOKIE_BYTES or any(ord(char) < 32 or ord(char) == 127 for char in text):
        return None
    pair, *attributes = text.split(";")
    name, separator, value = pair.partition("=")
    name, value = name.strip(), value.strip()
    if not separator or not name or not text.isascii():
        return None
    domain, host_only = url.host, True
    path = _default_path(url)
    secure = False
    expires: float | None = None
    max_age: float | None = None
    for attribute in attributes:
        key, _, setting = attribute.partition("=")
        setting = setting.strip()
        match key.strip().lower():
            case "domain" if setting.lstrip("."):
                domain, host_only = setting.lstrip(".").lower(), False
            case "path" if setting.startswith("/"):
                path = setting
            case "secure":
                secure = True
            case "max-age" if setting.lstrip("-").isdigit() and len(setting) < 12:
                max_age = now + int(setting) if int(setting) > 0 else 0.0
            case "expires":
                expires = _date(setting)
    if not host_only and not _may_set(url.host, domain):
        return None
    return [name, value, domain, host_only, path, secure, expires if max_age is None else max_age]


def _may_set(host: str, domain: str) -> bool:
    """The host itself or a parent of at least two labels: no cookie for a whole top level."""
    return host == domain or ("." in domain and _domain_matches(host, domain, host_only=False))


def _date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text.replace("-", " ")).timestamp()
    except (ValueError, OverflowError):
        return None


def _default_path(url: WebhookUrl) -> str:
    path = url.target.partition("?")[0]
    return path[: path.rfind("/")] or "/"


def _domain_matches(host: str, domain: str, *, host_only: bool) -> bool:
    if host == domain:
        return True
    return not host_only and host.endswith("." + domain) and not _is_address(host)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _path_matches(path: str, prefix: str) -> bool:
    if not path.startswith(prefix):
        return False
    return len(path) == len(prefix) or prefix.endswith("/") or path[len(prefix)] == "/"
