"""All settings."""

from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent.parent
SECRET_KEY = "insecure-skeleton"  # noqa: S105
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "sipdomains", "sipserver"]
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "var" / "db.sqlite3"}
}
USE_TZ = True
