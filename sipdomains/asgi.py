"""ASGI entry point."""

import os
import warnings

from django.conf import settings
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sipdomains.settings")
# Static files are small and from memory or the page cache: reading them on the loop is fine.
warnings.filterwarnings(
    "ignore", message="StreamingHttpResponse must consume synchronous iterators"
)
# Each request has a thread of its own here: a connection that outlives it is used by nobody again,
# and stays open until the collector finds it.
for _database in settings.DATABASES.values():
    _database["CONN_MAX_AGE"] = 0
application = get_asgi_application()

# Pages send tasks too; without it they would go to Celery's own default broker.
from sipdomains import celery  # noqa: E402, F401 - it reads the settings that are chosen above
