"""Trunks as the live side needs them."""

from __future__ import annotations

from sipdomains.models import Trunk
from sipdomains.policy import TrunkPolicy, TrunkRulePolicy


def of_account(account_sid: str) -> tuple[TrunkPolicy, ...]:
    """The enabled trunks with their rules. Two queries."""
    rows = Trunk.objects.filter(account_id=account_sid, enabled=True).prefetch_related("rules")
    return tuple(_snapshot(trunk) for trunk in rows)


def _snapshot(trunk: Trunk) -> TrunkPolicy:
    return TrunkPolicy(
        sid=trunk.sid,
        name=trunk.friendly_name,
        host=trunk.host,
        port=trunk.port,
        transport=trunk.transport,
        username=trunk.username,
        password=trunk.password,
        from_host=trunk.from_host,
        caller_id=trunk.caller_id,
        priority=trunk.priority,
        weight=trunk.weight,
        rules=tuple(
            TrunkRulePolicy(rule.prefix, rule.allow, rule.strip, rule.prepend)
            for rule in trunk.rules.all()
        ),
    )
