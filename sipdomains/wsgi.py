"""WSGI entry point."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sipdomains.settings")
application = get_wsgi_application()

# Pages send tasks too; without it they would go to Celery's own default broker.
from sipdomains import celery  # noqa: E402, F401 - it reads the settings that are chosen above
