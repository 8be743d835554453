"""Bindings of phones in the database: implements ``calls.ports.Registrations``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence

from django.db import Error as DatabaseFailure

from sipdomains.policy import RegisteredContact
from sipdomains.services import registrations
from sipserver.adapters.dbpool import DatabasePool
from sipserver.calls.ports import DirectoryUnavailable
from sipserver.sip.events import Flow
from sipserver.sip.registrar import Binding, RegisterOutcome

log = logging.getLogger(__name__)

CHANGE_SECONDS = 3.0


class RegistrationStore:
    """``node`` is our boot id: TCP connections are of one node."""

    def __init__(self, pool: DatabasePool, node: str) -> None:
        self._pool = pool
        self._node = node
        self._dropping: set[asyncio.Task[None]] = set()

    async def change(
        self,
        domain_sid: str,
        username: str,
        decide: Callable[[Sequence[Binding]], RegisterOutcome],
    ) -> RegisterOutcome:
        outcomes: list[RegisterOutcome] = []

        def changes(current: Sequence[RegisteredContact]) -> Iterator[registrations.Change]:
            outcome = decide([_binding(contact) for contact in current])
            outcomes.append(outcome)
            for old, new in outcome.changes:
                yield (
                    self._contact(domain_sid, username, old),
                    self._contact(domain_sid, username, new),
                )

        try:
            async with asyncio.timeout(CHANGE_SECONDS):
                await self._pool.run(lambda: registrations.change(domain_sid, username, changes))
        except (DatabaseFailure, TimeoutError) as error:
            raise DirectoryUnavailable(str(error) or "the database is too slow") from error
        return outcomes[-1]

    def connection_lost(self, connection: int) -> None:
        task = asyncio.create_task(self._drop(connection))
        self._dropping.add(task)
        task.add_done_callback(self._dropping.discard)

    async def _drop(self, connection: int) -> None:
        try:
            await self._pool.run(lambda: registrations.drop_connection(self._node, connection))
        except DatabaseFailure as error:
            log.warning("registrations over a lost connection stay until they expire: %s", error)

    def _contact(
        self, domain_sid: str, username: str, binding: Binding | None
    ) -> RegisteredContact | None:
        if binding is None:
            return None
        flow = binding.flow
        return RegisteredContact(
            domain_sid=domain_sid,
            username=username,
            contact_uri=binding.contact,
            q=binding.q,
            transport=flow.transport,
            received=(flow.remote[0], flow.remote[1]),
            local=(flow.local[0], flow.local[1]),
            connection=flow.connection,
            node=self._node,
            expires_at=binding.expires_at,
            call_id=binding.call_id,
            cseq=binding.cseq,
            instance=binding.instance,
            user_agent=binding.user_agent,
        )


def _binding(contact: RegisteredContact) -> Binding:
    return Binding(
        contact=contact.contact_uri,
        expires_at=contact.expires_at,
        call_id=contact.call_id,
        cseq=contact.cseq,
        flow=Flow(contact.transport, contact.local, contact.received, contact.connection),
        q=contact.q,
        instance=contact.instance,
        user_agent=contact.user_agent,
    )
