"""Configuration of the webhook workers, as one frozen value. No Django."""

from __future__ import annotations

from dataclasses import dataclass, field

from twimlrunner.webhooks.egress import EgressPolicy
from twimlrunner.webhooks.policy import MAX_BODY, MAX_REDIRECTS, Overrides


@dataclass(frozen=True, slots=True)
class WebhookConfig:
    """``defaults`` hold where a URL's fragment sets nothing. Sizes in bytes.

    ``max_in_flight`` fetches run at once per worker process, at most ``max_in_flight_per_host`` of
    them to one host, so that a slow customer leaves room for others. Each takes a file descriptor.
    Status callbacks have bounds of their own.
    """

    egress: EgressPolicy = field(default_factory=EgressPolicy)
    defaults: Overrides = field(default_factory=Overrides)
    max_body: int = MAX_BODY
    max_redirects: int = MAX_REDIRECTS
    ca_file: str = ""
    max_in_flight: int = 800
    max_in_flight_per_host: int = 400
    max_callbacks: int = 200
    max_callbacks_per_host: int = 50
    stored_body: int = 16 * 1024

    @classmethod
    def from_settings(cls, settings: object) -> WebhookConfig:
        """From Django's settings (``EGRESS_*``, ``WEBHOOK_*``), each with a default."""

        def get(name: str, default: object) -> object:
            return getattr(settings, name, default)

        plain = cls()
        return cls(
            egress=EgressPolicy.build(
                allow_private=bool(get("EGRESS_ALLOW_PRIVATE", True)),
                allow_loopback=bool(get("EGRESS_ALLOW_LOOPBACK", True)),
                allow=_texts(get("EGRESS_ALLOW_NETWORKS", ())),
                deny=_texts(get("EGRESS_DENY_NETWORKS", ())),
                ports=[int(text) for text in _texts(get("EGRESS_PORTS", ()))],
            ),
            defaults=Overrides(
                connect_timeout=_number(get("WEBHOOK_CONNECT_TIMEOUT", 5.0)),
                read_timeout=_number(get("WEBHOOK_READ_TIMEOUT", 15.0)),
                total_timeout=_number(get("WEBHOOK_TOTAL_TIMEOUT", 15.0)),
            ),
            max_body=int(_number(get("WEBHOOK_MAX_BODY_BYTES", plain.max_body))),
            max_redirects=int(_number(get("WEBHOOK_MAX_REDIRECTS", plain.max_redirects))),
            ca_file=str(get("WEBHOOK_CA_FILE", "")),
            max_in_flight=int(_number(get("WEBHOOK_MAX_IN_FLIGHT", plain.max_in_flight))),
            max_in_flight_per_host=int(
                _number(get("WEBHOOK_MAX_IN_FLIGHT_PER_HOST", plain.max_in_flight_per_host))
            ),
            stored_body=int(_number(get("WEBHOOK_STORED_BODY_BYTES", plain.stored_body))),
        )


def _number(value: object) -> float:
    return float(str(value))


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, (list, tuple, set)) else []
