"""``manage.py bootstrapdemo``: administrator, demo account and demo domain, where missing."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from sipdomains.services.bootstrap import bootstrap_demo


class Command(BaseCommand):
    help = "Make the administrator and the demo domain where missing, and print how to use them."

    def handle(self, *args: Any, **options: Any) -> None:
        demo = bootstrap_demo()
        self.stdout.write(f"domain    {demo.domain_name} ({demo.domain_sid})")
        self.stdout.write(f"user      {demo.username}   password  {demo.password}")
        if demo.admin_password:
            self.stdout.write(
                f"admin     {demo.admin_username}   password  {demo.admin_password}   (shown once)"
            )
        else:
            self.stdout.write(f"admin     {demo.admin_username}")
