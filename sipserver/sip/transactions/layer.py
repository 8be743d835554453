"""Which transaction a message belongs to (RFC 3261 17.1.3, 17.2.3, 8.2.2.2), and what goes out."""

from __future__ import annotations

from typing import Final

from sipserver.sip.events import Flow, MessageTraced, Outgoing, SipEvent
from sipserver.sip.message import Request, Response
from sipserver.sip.timers import Deadlines, Timers
from sipserver.sip.transactions.client_invite import ClientInvite
from sipserver.sip.transactions.client_other import ClientOther
from sipserver.sip.transactions.server_invite import ServerInvite
from sipserver.sip.transactions.server_other import ServerOther

ServerTransaction = ServerInvite | ServerOther
ClientTransaction = ClientInvite | ClientOther
Key = tuple[str, ...]

MAGIC_COOKIE: Final = "z9hG4bK"


class Output:
    """Everything the engine has to hand out: bytes for the wire and events for the layer above."""

    __slots__ = ("events", "messages")

    def __init__(self) -> None:
        self.messages: list[Outgoing] = []
        self.events: list[SipEvent] = []

    def send(
        self, data: bytes, flow: Flow | None, target: tuple[str, str, int], usage: int = 0
    ) -> None:
        """Queue bytes. ``usage`` not 0 traces them: given for the first copy of a message only."""
        self.messages.append(Outgoing(data, flow, target))
        if usage:
            self.events.append(MessageTraced(usage, True, data, flow, target))


def server_key(request: Request, method: str) -> Key:
    """Return the key of the server transaction that a request of this ``method`` would have.

    A branch without the magic cookie is that of an RFC 2543 client and identifies nothing; the
    rest of the message has to do (17.2.3, without the To tag, which an ACK of it may carry).
    """
    via = request.via
    branch = via.branch
    if branch is not None and branch.startswith(MAGIC_COOKIE) and branch != MAGIC_COOKIE:
        return (branch, via.host.lower(), str(via.port or ""), method)
    return (
        "",
        request.call_id,
        request.from_.tag or "",
        str(request.cseq.number),
        request.uri_text,
        str(via),
        method,
    )


def merge_key(request: Request) -> Key:
    """Return what copies of a request outside dialogs have in common that came by different ways
    (8.2.2.2)."""
    cseq = request.cseq
    return (request.call_id, request.from_.tag or "", str(cseq.number), cseq.method)


class TransactionLayer:
    """All transactions of one node. The layer matches; the engine creates."""

    __slots__ = (
        "_client",
        "_merge",
        "_number",
        "_numbered",
        "_server",
        "deadlines",
        "output",
        "timers",
    )

    def __init__(self, timers: Timers, deadlines: Deadlines, output: Output) -> None:
        self.timers = timers
        self.deadlines = deadlines
        self.output = output
        self._server: dict[Key, ServerTransaction] = {}
        self._client: dict[Key, ClientTransaction] = {}
        self._merge: dict[Key, ServerTransaction] = {}
        self._numbered: dict[int, ServerOther] = {}
        self._number = 0

    def __len__(self) -> int:
        """Count the living transactions."""
        return len(self._server) + len(self._client)

    # ---- server ----------------------------------------------------------------------------

    def server(self, key: Key) -> ServerTransaction | None:
        """Return the server transaction of this key."""
        return self._server.get(key)

    def is_merged(self, identity: Key) -> bool:
        """Tell whether a request of this :func:`merge_key`, not matched itself, came another way
        already."""
        return identity in self._merge

    def add_server(
        self, transaction: ServerTransaction, key: Key, identity: Key | None = None
    ) -> None:
        """Take in a new server transaction; ``identity`` is its :func:`merge_key` if it came
        outside dialogs."""
        transaction.key = key
        self._server[key] = transaction
        if identity is not None and identity not in self._merge:
            transaction.merge_key = identity
            self._merge[identity] = transaction

    def number(self, transaction: ServerOther) -> int:
        """Give a transaction the handle by which the layer above answers it."""
        self._number += 1
        transaction.number = self._number
        self._numbered[self._number] = transaction
        return self._number

    def numbered(self, number: int) -> ServerOther | None:
        """Return the pending transaction of a handle, None if it is answered or has expired."""
        return self._numbered.get(number)

    def unnumber(self, transaction: ServerOther) -> None:
        """Drop the handle: the transaction has its final response."""
        self._numbered.pop(transaction.number, None)

    def forget_server(self, transaction: ServerTransaction) -> None:
        """Drop a terminated transaction."""
        self._server.pop(transaction.key, None)
        self.forget_identity(transaction)
        if isinstance(transaction, ServerOther):
            self.unnumber(transaction)

    def forget_identity(self, transaction: ServerTransaction) -> None:
        """The transaction is done but for stray copies: another request of the same identity is no
        merged one. (Some callers answer a challenge without counting CSeq up.)"""
        if transaction.merge_key is not None:
            self._merge.pop(transaction.merge_key, None)
            transaction.merge_key = None

    # ---- client ----------------------------------------------------------------------------

    def client(self, response: Response) -> ClientTransaction | None:
        """Return the client transaction a response belongs to."""
        branch = response.via.branch
        return self._client.get((branch, response.cseq.method)) if branch else None

    def add_client(self, transaction: ClientTransaction) -> None:
        """Take in a new client transaction."""
        transaction.key = (transaction.request.via.branch or "", transaction.request.method)
        self._client[transaction.key] = transaction

    def forget_client(self, transaction: ClientTransaction) -> None:
        """Drop a terminated transaction."""
        self._client.pop(transaction.key, None)

    def flow_lost(self, flow: Flow, now: float) -> None:
        """A connection is gone: what waits for a response on it has failed (RFC 3261 18.4)."""
        for transaction in [each for each in self._client.values() if each.flow == flow]:
            transaction.failed(now)

    def target_failed(self, target: tuple[str, str, int], now: float) -> None:
        """Nothing can be sent to this target: what was on its way there has failed."""
        waiting = [
            each for each in self._client.values() if each.flow is None and each.target == target
        ]
        for transaction in waiting:
            transaction.failed(now)
