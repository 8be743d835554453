"""Settings of the test suite: nothing is read from or written to the operator's data folder."""

import os
import tempfile

os.environ["SIPDOMAINS_ENV_FILE"] = os.devnull
os.environ["SIPDOMAINS_HOME"] = os.path.join(tempfile.gettempdir(), "sipdomains-tests")
os.environ["SECRET_KEY"] = "only-for-tests-" + "x" * 40
os.environ["FIELD_ENCRYPTION_KEYS"] = "dGVzdHMtb25seS10ZXN0cy1vbmx5LXRlc3RzLW9ubHk="
os.environ["SIP_NONCE_SECRET"] = "only-for-tests-" + "n" * 40
os.environ["CELERY_BROKER_URL"] = "memory://"
for _name in ("SECRET_KEY_FILE", "FIELD_ENCRYPTION_KEYS_FILE", "SIP_NONCE_SECRET_FILE", "BUS_URL"):
    os.environ.pop(_name, None)

from sipdomains.settings.base import *  # noqa: E402, F403 - the environment comes first

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ALLOWED_HOSTS = ["*"]
SIP_REALM = "sip.example.net"
