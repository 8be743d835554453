"""The settings package as a process meets it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from sipdomains.settings.home import SECRETS_FILE, generated_secrets, write_private

ROOT = Path(__file__).resolve().parents[2]
PROBE = """
import json, sys
from django.conf import settings
names = sys.argv[1:]
print(json.dumps({name: getattr(settings, name) for name in names}, default=str))
print(json.dumps([m for m in sys.modules if "sipdomains" in m and "settings" not in m]))
"""


def probe(home: Path, *names: str, **environment: str) -> tuple[dict, list]:
    clean = {
        "PATH": os.environ["PATH"],
        "SIPDOMAINS_HOME": str(home),
        "SIPDOMAINS_ENV_FILE": os.devnull,
        "DJANGO_SETTINGS_MODULE": "sipdomains.settings",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *names],
        cwd=ROOT,
        env=clean | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise AssertionError(done.stderr)
    first, second = done.stdout.splitlines()
    return json.loads(first), json.loads(second)


def test_the_defaults_need_nothing_and_load_no_model(tmp_path) -> None:
    values, modules = probe(
        tmp_path / "home", "DEBUG", "DATABASES", "CELERY_BROKER_URL", "BUS_URL", "SECRET_KEY",
        "SIP_LISTEN", "ALLOWED_HOSTS", "SESSION_COOKIE_SECURE",
    )  # fmt: skip
    assert modules == ["sipdomains"]
    assert values["DEBUG"] is False
    assert values["CELERY_BROKER_URL"] == values["BUS_URL"] == "memory://"
    assert values["DATABASES"]["default"]["NAME"] == str(tmp_path / "home" / "sipdomains.sqlite3")
    assert values["SIP_LISTEN"] == ["udp:0.0.0.0:5060", "tcp:0.0.0.0:5060"]
    secrets_file = tmp_path / "home" / SECRETS_FILE
    assert stat.S_IMODE(secrets_file.stat().st_mode) == 0o600
    assert values["SECRET_KEY"] == json.loads(secrets_file.read_text())["SECRET_KEY"]


def test_everything_can_come_from_the_environment(tmp_path) -> None:
    (tmp_path / "key").write_text("k" * 50)
    values, _ = probe(
        tmp_path / "home", "SECRET_KEY", "FIELD_ENCRYPTION_KEYS", "DATABASES", "BUS_URL",
        "SESSION_COOKIE_SECURE", "SECURE_SSL_REDIRECT", "ALLOWED_HOSTS",
        SECRET_KEY_FILE=str(tmp_path / "key"),
        FIELD_ENCRYPTION_KEYS="new,old",
        SIP_NONCE_SECRET="n" * 40,
        DATABASE_URL="postgres://u:p%40w@db:5433/calls",
        CELERY_BROKER_URL="redis://r/0",
        BEHIND_TLS="yes",
        WEB_LISTEN="10.0.0.7:80",
    )  # fmt: skip
    assert not (tmp_path / "home").exists()
    assert values["SECRET_KEY"] == "k" * 50
    assert values["FIELD_ENCRYPTION_KEYS"] == ["new", "old"]
    database = values["DATABASES"]["default"]
    assert (database["ENGINE"], database["HOST"], database["PORT"], database["PASSWORD"]) == (
        "django.db.backends.postgresql", "db", 5433, "p@w",
    )  # fmt: skip
    assert values["BUS_URL"] == "redis://r/0"
    assert values["SESSION_COOKIE_SECURE"] is values["SECURE_SSL_REDIRECT"] is True
    assert "10.0.0.7" in values["ALLOWED_HOSTS"]


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"DATABASE_URL": "nonsense"}, "DATABASE_URL: expected sqlite:"),
        ({"DEBUG": "perhaps"}, "DEBUG: 'perhaps' is neither"),
        ({"MEDIA_WORKERS": "0"}, "MEDIA_WORKERS: 0 must be at least 1"),
        ({"SECRET_KEY_FILE": "/nowhere"}, "SECRET_KEY_FILE: cannot read /nowhere"),
        ({"WEBHOOK_READ_TIMEOUT": "soon"}, "WEBHOOK_READ_TIMEOUT: 'soon' is not a duration"),
    ],
)
def test_a_mistake_is_named(tmp_path, environment, message) -> None:
    with pytest.raises(AssertionError, match=message):
        probe(tmp_path, "DEBUG", **environment)


def test_generated_secrets_stay_the_same(tmp_path) -> None:
    assert generated_secrets(tmp_path / "home") == generated_secrets(tmp_path / "home")
    assert not list((tmp_path / "home").glob(".*"))


def test_two_processes_agree_on_one_file(tmp_path) -> None:
    assert write_private(tmp_path / "file", "first")
    assert not write_private(tmp_path / "file", "second")
    assert (tmp_path / "file").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("content", ["not json", "[]"])
def test_a_damaged_file_is_never_replaced(tmp_path, content) -> None:
    (tmp_path / SECRETS_FILE).write_text(content)
    with pytest.raises(ImproperlyConfigured, match="damaged"):
        generated_secrets(tmp_path)
    assert (tmp_path / SECRETS_FILE).read_text() == content


def test_an_unusable_folder_is_named(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ImproperlyConfigured, match="SIPDOMAINS_HOME"):
        generated_secrets(tmp_path / "file" / "home")
