"""A browser without a window, and the operator who sits before it."""

from __future__ import annotations

import httpx

from tests.e2e.server import Server, wait_for

OPERATOR, OPERATOR_PASSWORD = "olga", "Operator9-of-tests"
MAKE_OPERATOR = f"""
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
user, _ = get_user_model().objects.get_or_create(username={OPERATOR!r})
user.set_password({OPERATOR_PASSWORD!r}); user.save()
user.groups.set(Group.objects.filter(name__in=["operator", "every account"]))
"""


class Desk:
    """Fills in forms, with the token of the page."""

    def __init__(self, base: str) -> None:
        self.http = httpx.Client(base_url=base, follow_redirects=True, timeout=60)

    def get(self, path: str) -> str:
        answer = self.http.get(path)
        assert answer.status_code == 200, answer.text[:500]
        return answer.text

    def post(self, path: str, form: dict[str, str]) -> httpx.Response:
        return self.http.post(
            path, data=form | {"csrfmiddlewaretoken": self.http.cookies["csrftoken"]}
        )

    def close(self) -> None:
        self.http.close()

    def over(self, path: str, seconds: float = 60.0) -> str:
        """The page when it asks for no refresh any more."""

        def settled() -> str:
            shown = self.get(path)
            return "" if "data-poll" in shown else shown

        return str(wait_for("the page is settled", settled, seconds))


def signed_in(server: Server) -> Desk:
    """As an operator of all accounts."""
    server.manage("shell", "-c", MAKE_OPERATOR)
    desk = Desk(f"http://127.0.0.1:{server.web_port}")
    desk.get("/login/")
    desk.post("/login/", {"username": OPERATOR, "password": OPERATOR_PASSWORD})
    return desk
