"""All settings, read from the environment (see ``.env.example``). Loads no model.

Values that need more than a type check stay as text and are judged by ``sipdomains.checks``, so
that a mistake is explained by ``manage.py check`` instead of a traceback.
"""

from __future__ import annotations

import os
from pathlib import Path

import environ

from sipdomains.settings.env import Env, EnvError
from sipdomains.settings.home import generated_secrets

BASE_DIR = Path(__file__).resolve().parent.parent.parent

environ.Env.read_env(os.environ.get("SIPDOMAINS_ENV_FILE", str(BASE_DIR / ".env")))
_env = Env(os.environ, lambda path: Path(path).read_text("utf-8"))

SIPDOMAINS_HOME = Path(_env.text("SIPDOMAINS_HOME", str(BASE_DIR / "var"))).absolute()

# --- secrets ------------------------------------------------------------------------------------

SECRET_KEY = _env.secret("SECRET_KEY")
FIELD_ENCRYPTION_KEYS = _env.secrets("FIELD_ENCRYPTION_KEYS", [])  # first encrypts, all decrypt
SIP_NONCE_SECRET = _env.secret("SIP_NONCE_SECRET")  # the same on every node
if not (SECRET_KEY and FIELD_ENCRYPTION_KEYS and SIP_NONCE_SECRET):
    _generated = generated_secrets(SIPDOMAINS_HOME)
    SECRET_KEY = SECRET_KEY or _generated.get("SECRET_KEY", "")
    FIELD_ENCRYPTION_KEYS = (
        FIELD_ENCRYPTION_KEYS or _generated.get("FIELD_ENCRYPTION_KEYS", "").split()
    )
    SIP_NONCE_SECRET = SIP_NONCE_SECRET or _generated.get("SIP_NONCE_SECRET", "")

# --- django -------------------------------------------------------------------------------------

DEBUG = _env.boolean("DEBUG", False)
WEB_LISTEN = _env.text("WEB_LISTEN", "127.0.0.1:8000")
ALLOWED_HOSTS = _env.items(
    "ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]", WEB_LISTEN.rpartition(":")[0]]
)
CSRF_TRUSTED_ORIGINS = _env.items("CSRF_TRUSTED_ORIGINS")
# Where applications and people reach us: the base of the URLs that leave this server.
PUBLIC_URL = _env.text("PUBLIC_URL", f"http://{WEB_LISTEN}").rstrip("/")
BEHIND_TLS = _env.boolean("BEHIND_TLS", False)  # a proxy in front of us speaks https to browsers

ROOT_URLCONF = "sipdomains.urls"
WSGI_APPLICATION = "sipdomains.wsgi.application"
ASGI_APPLICATION = "sipdomains.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "auditlog",
    "sipdomains.apps.SipdomainsConfig",
    "twimlrunner",
    "sipserver",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "sipdomains.security.ContentSecurityPolicyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "sipdomains.nul.NulMiddleware",
    "sipdomains.audit.AuditMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "sipdomains" / "templates"],  # some of which stand for the admin's own
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATA_UPLOAD_MAX_NUMBER_FIELDS = 10_000  # a full credential list on one admin page

LANGUAGE_CODE = "en"
USE_TZ = True
TIME_ZONE = _env.text("TIME_ZONE", "UTC")

LOGIN_URL = "web:login"
LOGIN_REDIRECT_URL = "web:home"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = BEHIND_TLS
SESSION_COOKIE_HTTPONLY = True
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_TLS else None
SECURE_SSL_REDIRECT = BEHIND_TLS
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^demo/"]  # asked for from this machine
SECURE_HSTS_SECONDS = _env.integer("SECURE_HSTS_SECONDS", 0)
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

STATIC_URL = "/static/"
STATIC_ROOT = _env.text("STATIC_ROOT") or None  # only for a web server that serves it itself
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedStaticFilesStorage",
    },
}
WHITENOISE_USE_FINDERS = True  # works from a checkout, without collectstatic

# --- database -----------------------------------------------------------------------------------

_SQLITE_OPTIONS = {
    # Writers queue up to 20 s instead of failing; a transaction that will write says so at once,
    # so that two of them never deadlock on upgrading their read locks.
    "timeout": 20,
    "transaction_mode": "IMMEDIATE",
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-16000;",
}
_database_url = _env.secret("DATABASE_URL")
if _database_url:
    if _database_url.partition(":")[0] not in ("sqlite", "postgres", "postgresql"):
        raise EnvError(
            "DATABASE_URL: expected sqlite:////path/to/file or postgres://user:password@host/name"
        )
    _database = environ.Env.db_url_config(_database_url)
else:
    _database = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(SIPDOMAINS_HOME / "sipdomains.sqlite3"),
    }
if _database["ENGINE"] == "django.db.backends.sqlite3":
    _database["OPTIONS"] = _SQLITE_OPTIONS | _database.get("OPTIONS", {})
else:
    _database.setdefault("CONN_MAX_AGE", 60)
    _database.setdefault("CONN_HEALTH_CHECKS", True)
DATABASES = {"default": _database}

# --- celery and the bus between processes -------------------------------------------------------

CELERY_BROKER_URL = _env.secret("CELERY_BROKER_URL", "memory://")
BUS_URL = _env.secret("BUS_URL", CELERY_BROKER_URL)

# What several processes share: "default" how often who has asked and what a page has counted,
# "desk" what pages and workers hand each other. One process keeps both to itself.
if BUS_URL.startswith(("redis://", "rediss://")):
    _cache = {"LOCATION": BUS_URL, "KEY_PREFIX": "sipdomains"}
    CACHES = {
        "default": {"BACKEND": "sipdomains.cache.LenientCache", **_cache},
        "desk": {"BACKEND": "sipdomains.cache.RedisCache", **_cache},
    }
else:
    _cache = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    CACHES = {"default": _cache, "desk": _cache}

# --- rest api -----------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["sipdomains.api.auth.AccountAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": [
        "rest_framework.parsers.FormParser",
        "rest_framework.parsers.MultiPartParser",
    ],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "sipdomains.api.errors.handle",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "sipdomains",
    "DESCRIPTION": "The part of Twilio's REST API 2010-04-01 that SIP and voice need, as this "
    "server speaks it. Its client libraries work unchanged: see docs/move-from-twilio.md.",
    "VERSION": "2010-04-01",
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "HttpMethod": "sipdomains.models.fields.HttpMethod",
        "AccountStatus": "sipdomains.models.AccountStatus",
    },
}
API_REQUESTS_PER_SECOND = _env.integer("API_REQUESTS_PER_SECOND", 100, minimum=1)  # of one account
API_FAILED_LOGINS_PER_MINUTE = _env.integer("API_FAILED_LOGINS_PER_MINUTE", 30, minimum=1)
# How long a change of a live call waits for the node that carries it, before it is answered.
API_COMMAND_SECONDS = _env.seconds("API_COMMAND_SECONDS", 2.0)

# --- sip ----------------------------------------------------------------------------------------

SIP_LISTEN = _env.items("SIP_LISTEN", ["udp:0.0.0.0:5060", "tcp:0.0.0.0:5060"])
SIP_REALM = _env.text("SIP_REALM", "sipdomains")  # every stored credential is bound to it
# In order of preference. Many phones only look at the first challenge, so MD5 leads; put SHA-256
# first (or alone) where every caller speaks RFC 8760.
SIP_DIGEST_ALGORITHMS = _env.items("SIP_DIGEST_ALGORITHMS", ["MD5", "SHA-256"])
SIP_DOMAIN_SUFFIX = _env.text("SIP_DOMAIN_SUFFIX").lower().strip(".")
SIP_EXTERNAL_ADDRESS = _env.text("SIP_EXTERNAL_ADDRESS")
SIP_TRUSTED_PROXIES = _env.items("SIP_TRUSTED_PROXIES")
SIP_USER_AGENT = _env.text("SIP_USER_AGENT", "sipdomains")
# Where calls that we place may go; for servers whose customers are strangers, as EGRESS_ below.
SIP_EGRESS_ALLOW_PRIVATE = _env.boolean("SIP_EGRESS_ALLOW_PRIVATE", True)
SIP_EGRESS_ALLOW_LOOPBACK = _env.boolean("SIP_EGRESS_ALLOW_LOOPBACK", True)
# Where test calls of the desk are sent, as udp:192.0.2.5:5060; empty: the first of SIP_LISTEN.
SIP_TEST_CALL_ADDRESS = _env.text("SIP_TEST_CALL_ADDRESS")
DNS_SERVERS = _env.items("DNS_SERVERS")  # empty: those of the system

# --- media --------------------------------------------------------------------------------------

RTP_PORT_RANGE = _env.text("RTP_PORT_RANGE", "20000-29999")
RTP_BIND = _env.text("RTP_BIND")  # empty: every address
AUDIO_CACHE = SIPDOMAINS_HOME / "audio"

MEDIA_WORKERS = _env.integer("MEDIA_WORKERS", max(1, (os.cpu_count() or 2) - 1), minimum=1)

# --- recordings ---------------------------------------------------------------------------------

# Never served as they are: whoever asks is looked at first (sipdomains.api.recording_media).
MEDIA_ROOT = SIPDOMAINS_HOME / "storage"
FILE_UPLOAD_PERMISSIONS = 0o600
FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o700
RECORDING_SPOOL = SIPDOMAINS_HOME / "spool"  # what is being recorded, of this machine's nodes
RECORDING_KEEP_DAYS = _env.integer("RECORDING_KEEP_DAYS", 0)  # 0: for ever
# Mends a WAV file whose writer died. By name: the record does not know the media's code.
WAV_REPAIR = "sipserver.media.trim.repair_wav"

# --- webhooks -----------------------------------------------------------------------------------

# The embedded default runs on one machine or a LAN, so private targets are allowed; a server
# whose customers are strangers turns both off.
EGRESS_ALLOW_PRIVATE = _env.boolean("EGRESS_ALLOW_PRIVATE", True)
EGRESS_ALLOW_LOOPBACK = _env.boolean("EGRESS_ALLOW_LOOPBACK", True)
EGRESS_ALLOW_NETWORKS = _env.items("EGRESS_ALLOW_NETWORKS")
EGRESS_DENY_NETWORKS = _env.items("EGRESS_DENY_NETWORKS")
EGRESS_PORTS = _env.ports("EGRESS_PORTS")  # empty: any
WEBHOOK_CONNECT_TIMEOUT = _env.seconds("WEBHOOK_CONNECT_TIMEOUT", 5.0)
WEBHOOK_READ_TIMEOUT = _env.seconds("WEBHOOK_READ_TIMEOUT", 15.0)
WEBHOOK_TOTAL_TIMEOUT = _env.seconds("WEBHOOK_TOTAL_TIMEOUT", 15.0)
WEBHOOK_MAX_BODY_BYTES = _env.integer("WEBHOOK_MAX_BODY_BYTES", 65536, minimum=1024)
WEBHOOK_MAX_REDIRECTS = _env.integer("WEBHOOK_MAX_REDIRECTS", 10)
WEBHOOK_MAX_IN_FLIGHT = _env.integer("WEBHOOK_MAX_IN_FLIGHT", 800, minimum=1)  # of one worker
WEBHOOK_MAX_IN_FLIGHT_PER_HOST = _env.integer("WEBHOOK_MAX_IN_FLIGHT_PER_HOST", 400, minimum=1)
WEBHOOK_STORED_BODY_BYTES = _env.integer("WEBHOOK_STORED_BODY_BYTES", 16384)
WEBHOOK_CA_FILE = _env.text("WEBHOOK_CA_FILE")  # trusted besides the public authorities

# --- limits -------------------------------------------------------------------------------------

MAX_CONCURRENT_CALLS = _env.integer("MAX_CONCURRENT_CALLS", 2000, minimum=1)  # of one node
RTP_SILENCE_SECONDS = _env.seconds("RTP_SILENCE_SECONDS", 120.0)
REFER_TIMEOUT = _env.seconds("REFER_TIMEOUT", 30.0)

# --- logging ------------------------------------------------------------------------------------

LOG_LEVEL = _env.text("LOG_LEVEL", "INFO").upper()
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        "django.server": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
        "django.request": {"level": "ERROR"},  # not a line for each page that a scanner asks for
        # Chatter about what is as it should be.
        "kombu.connection": {"level": "ERROR"},
        "celery.worker.consumer.connection": {"level": "WARNING"},
        "uvicorn.error": {"level": "WARNING"},
    },
}
