"""Servers for the tests of the HTTP client: an obedient one by script, and raw sockets."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sipdomains.contracts import FetchDocument, FetchReply, WebhookAttempt
from twimlrunner.webhooks.client import WebhookClient
from twimlrunner.webhooks.config import WebhookConfig

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
TOKEN = "0123456789abcdef0123456789abcdef"
XML = b"<Response/>"


@asynccontextmanager
async def listening(
    handler: Handler, context: ssl.SSLContext | None = None, *, host: str = "127.0.0.1"
) -> AsyncIterator[int]:
    """A TCP (or TLS) server on loopback; yields its port and ends its connections."""
    tasks: set[asyncio.Task[None]] = set()

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        tasks.add(task)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(guarded, host, 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.sleep(0)
        await server.wait_closed()


@dataclass
class Seen:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


async def read_request(reader: asyncio.StreamReader, connection: int = 0) -> Seen:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    method, target, _ = head[0].split(" ")
    headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Seen(method, target, headers, body, connection)


def answer(
    status: int = 200,
    body: bytes = XML,
    *headers: tuple[str, str],
    content_type: str = "text/xml",
) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
    if content_type:
        lines.append(f"Content-Type: {content_type}")
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Application:
    """Answers request n with ``script[n]`` (the last one for ever); remembers what it saw."""

    def __init__(self, *script: bytes | Callable[[Seen], bytes]) -> None:
        self.script = script
        self.seen: list[Seen] = []
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        while True:
            seen = await read_request(reader, number)
            self.seen.append(seen)
            step = self.script[min(len(self.seen), len(self.script)) - 1]
            writer.write(step(seen) if callable(step) else step)
            await writer.drain()


class Caller:
    """A webhook client and what it recorded."""

    def __init__(self, config: WebhookConfig | None = None) -> None:
        self.attempts: list[WebhookAttempt] = []
        self.client = WebhookClient(config or WebhookConfig(), self.attempts.append)

    async def fetch(
        self,
        url: str,
        parameters: list[tuple[str, str]] | None = None,
        *,
        method: str = "POST",
        session: dict | None = None,
        verify_tls: bool = True,
        seconds: float = 10.0,
    ) -> FetchReply:
        request = FetchDocument(
            request_id="11111111-2222-4333-8444-555555555555",
            node="node",
            call_sid="CA2",
            account_sid="AC1",
            url=url,
            method=method,
            parameters=[("CallSid", "CA2")] if parameters is None else parameters,
            deadline=time.time() + seconds,
            session=session or {},
            verify_tls=verify_tls,
        )
        return await self.client.fetch(request, TOKEN)


# --- certificates ------------------------------------------------------------------------------


def make_certificate(
    folder: Path, *names: str, days: int = 10, issuer: tuple | None = None
) -> tuple[Path, tuple]:
    """A PEM file with key and certificate, and (certificate, key). Self-signed without ``issuer``;
    a CA without ``names``. With the extensions that RFC 5280 (section 4.2.1) demands, as the strict
    verification of Python 3.13 wants to see them."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0] if names else "root")])
    now = datetime.datetime.now(datetime.UTC)
    begin = now - datetime.timedelta(days=20)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
        .add_extension(key_usage(ca=not names), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(
                (issuer[1] if issuer else key).public_key()
            ),
            critical=False,
        )
    )
    if names:
        alternatives: list[x509.GeneralName] = []
        for name in names:
            try:
                alternatives.append(x509.IPAddress(ipaddress.ip_address(name)))
            except ValueError:
                alternatives.append(x509.DNSName(name))
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    certificate = builder.sign(issuer[1] if issuer else key, hashes.SHA256())
    path = folder / f"{'-'.join(names) or 'root'}-{days}-{bool(issuer)}.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path, (certificate, key)


def key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def server_context(path: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
