"""URLs of webhooks: what is sent, what is signed and what may be logged. Pure.

The HTTP client never normalises: scheme, authority and target are fixed here once, the signature
is computed over exactly these (webhooks.md sections 5 and 6).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import AddressValueError, IPv6Address
from urllib.parse import quote, unquote, urljoin, urlsplit

import idna

_SAFE = "!#$%&'()*+,/:;=?@[]~"  # reserved characters and escapes stay as configured (RFC 3986)
_PORTS = {"http": 80, "https": 443}
MAX_URL = 8192


class InvalidUrl(ValueError):
    """Not an absolute http or https URL that can be requested (error 11100)."""


@dataclass(frozen=True, slots=True)
class WebhookUrl:
    """An absolute URL in the parts a request needs.

    ``authority`` is host and port as configured (ASCII), ``host`` lower case without brackets,
    ``target`` path and query as sent. Credentials are decoded.
    """

    scheme: str
    authority: str
    host: str
    port: int
    target: str
    username: str = ""
    password: str = ""

    @property
    def sent(self) -> str:
        """What the application sees, what is signed and logged: no credentials, no fragment."""
        return f"{self.scheme}://{self.authority}{self.target}"

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    def with_query(self, encoded: str) -> WebhookUrl:
        """``encoded`` appended to the query, which stays in front."""
        if not encoded:
            return self
        joint = "" if self.target[-1] in "?&" else "&" if "?" in self.target else "?"
        return replace(self, target=f"{self.target}{joint}{encoded}")


def split_fragment(url: str) -> tuple[str, str]:
    """``url`` in front of its first ``#``, and what follows it.

    ``urldefrag`` also takes the URL apart and puts it together anew: it raises for a broken one,
    and what it makes of ``http:////x`` depends on the version of Python.
    """
    url, _, fragment = url.partition("#")
    return url, fragment


def parse_url(text: str) -> WebhookUrl:
    """Raises :class:`InvalidUrl`. The fragment is left out (see policy.parse_overrides)."""
    text = split_fragment(text.strip())[0]
    if len(text) > MAX_URL:
        raise InvalidUrl(f"the URL is longer than {MAX_URL} characters")
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise InvalidUrl("control characters in the URL")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise InvalidUrl(str(error)) from None
    if parts.scheme not in _PORTS:
        raise InvalidUrl("the URL must begin with http:// or https://")
    userinfo, _, authority = parts.netloc.rpartition("@")
    username, _, password = userinfo.partition(":")
    host = _host(parts.hostname or "")
    if "[" in parts.netloc:
        _check_brackets(userinfo, authority, host)
    if not authority.isascii():
        authority = host if port is None else f"{host}:{port}"
    target = quote(parts.path or "/", safe=_SAFE)
    if parts.query:  # a bare "?" does not survive the way to the application's validator
        target += "?" + quote(parts.query, safe=_SAFE)
    return WebhookUrl(
        scheme=parts.scheme,
        authority=authority.removesuffix(":"),
        host=host,
        port=_PORTS[parts.scheme] if port is None else port,
        target=target,
        username=unquote(username),
        password=unquote(password),
    )


def _host(host: str) -> str:
    if not host or len(host) > 253:
        raise InvalidUrl("the URL has no usable host name")
    if not host.isascii():
        try:
            return idna.encode(host, uts46=True).decode("ascii")
        except idna.IDNAError as error:
            raise InvalidUrl(f"host name: {error}") from None
    if any(char in ' "<>\\^`{|}%' for char in host):
        raise InvalidUrl("character not allowed in a host name")
    return host


def _check_brackets(userinfo: str, authority: str, host: str) -> None:
    """Square brackets are for an IPv6 address and nothing else (RFC 3986 section 3.2.2). Checked
    here, because versions of Python differ in what else they let pass: ``x[::1]``, ``[::1]x``."""
    before, _, rest = authority.partition("[")
    after = rest.partition("]")[2]
    try:
        IPv6Address(host)
    except AddressValueError:
        raise InvalidUrl("no IPv6 address in the square brackets") from None
    if "[" in userinfo or before or (after and not after.startswith(":")):
        raise InvalidUrl("square brackets where none are allowed")


def resolve(base: str, reference: str) -> str:
    """``reference`` made absolute against ``base`` (the final URL of the document it is in).

    Credentials of ``base`` are kept for references on the same host. Raises :class:`InvalidUrl`.
    """
    try:
        return urljoin(split_fragment(base)[0], reference.strip())
    except ValueError as error:
        raise InvalidUrl(str(error)) from None


def mask(url: str) -> str:
    """``url`` without its credentials, for logs and rows."""
    head, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    if not separator or "@" not in authority:
        return url
    return f"{head}://{authority.rpartition('@')[2]}{slash}{path}"
