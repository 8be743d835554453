"""Settings of the test suite: nothing is read from or written to the operator's data folder."""

import atexit
import os
import tempfile
from pathlib import Path

os.environ["SIPDOMAINS_ENV_FILE"] = os.devnull
os.environ["SIPDOMAINS_HOME"] = os.path.join(tempfile.gettempdir(), "sipdomains-tests")
os.environ["SECRET_KEY"] = "only-for-tests-" + "x" * 40
os.environ["FIELD_ENCRYPTION_KEYS"] = "dGVzdHMtb25seS10ZXN0cy1vbmx5LXRlc3RzLW9ubHk="
os.environ["SIP_NONCE_SECRET"] = "only-for-tests-" + "n" * 40
os.environ["CELERY_BROKER_URL"] = "memory://"
for _name in ("SECRET_KEY_FILE", "FIELD_ENCRYPTION_KEYS_FILE", "SIP_NONCE_SECRET_FILE", "BUS_URL"):
    os.environ.pop(_name, None)

from sipdomains.settings.base import *  # noqa: E402, F403 - the environment comes first
from sipdomains.settings.base import DATABASES  # noqa: E402 - the environment comes first

# A file, as in production: one in memory is shared by all threads with locks of its own kind, and
# Django never closes the connections to it. Several runs may go on at the same time.
_name = f"sipdomains-tests-{os.getpid()}"
_database = Path(tempfile.gettempdir(), f"{_name}.sqlite3")
_on_sqlite = DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3"
DATABASES["default"]["TEST"] = {"NAME": str(_database) if _on_sqlite else _name}


@atexit.register
def _clean() -> None:
    """Threads that still had a connection when the database was destroyed have left its log."""
    for path in _database.parent.glob(f"{_database.name}*"):
        path.unlink(missing_ok=True)


PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ALLOWED_HOSTS = ["*"]
SIP_REALM = "sip.example.net"
