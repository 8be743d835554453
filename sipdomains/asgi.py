"""ASGI entry point."""

import os
import warnings

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sipdomains.settings")
# Static files are small and from memory or the page cache: reading them on the loop is fine.
warnings.filterwarnings(
    "ignore", message="StreamingHttpResponse must consume synchronous iterators"
)
application = get_asgi_application()

# Pages send tasks too; without it they would go to Celery's own default broker.
from sipdomains import celery  # noqa: E402, F401 - it reads the settings that are chosen above
