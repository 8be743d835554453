"""How the web process deals with its database."""

from django.db import connections

from sipdomains import asgi


def test_no_connection_outlives_its_request() -> None:
    """Requests have threads of their own, which would keep them."""
    assert asgi.application is not None
    assert connections.settings["default"]["CONN_MAX_AGE"] == 0
