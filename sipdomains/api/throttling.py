"""How often an account may ask."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from sipdomains.throttling import Window


class AccountThrottle(BaseThrottle):
    """Requests per second of one account, whatever its credentials."""

    _window: Window | None = None

    def allow_request(self, request: Request, view: Any) -> bool:
        client: Any = request.user
        limit = settings.API_REQUESTS_PER_SECOND
        self._window = Window(f"requests:{client.account.sid}", limit, 1)
        return self._window.count()

    def wait(self) -> float | None:
        return self._window.wait() if self._window else None
