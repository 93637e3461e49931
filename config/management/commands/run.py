"""`manage.py run`: everything on this machine, from nothing to a page that answers."""

from __future__ import annotations

import os
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from rich.console import Console

from config.bootstrap import pango
from config.database import prepare_database
from config.setup import one_time_setup_url
from config.supervision import become_supervisor
from crm_sync.first_connections import make_first_connections
from payments.roles import ensure_roles

ADDRESS_FILE = "address"


class Command(BaseCommand):
    help = "Prepares the database, then runs the web server and the worker until Ctrl+C."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", default="8000")

    def handle(self, *args: Any, host: str, port: str, **options: Any) -> None:
        console = Console(highlight=False, soft_wrap=True)
        with console.status("Looking after the database ...") as status:
            prepare_database(lambda what: status.update(f"Making {what} ..."))
            ensure_roles()
            make_first_connections()
        hint = pango.advice()
        if hint:
            console.print(f"[yellow]{hint}[/yellow]")
        link = one_time_setup_url()
        address = os.environ.get("SITE_URL", f"http://{host}:{port}").rstrip("/")
        console.print(f"\n  Quittance  [bold]{address}/admin/[/bold]")
        if link:
            console.print(f"  First administrator, once: [bold]{address}{link}[/bold]")
        if not settings.EMAIL_URL:
            console.print(f"  E-mails without an SMTP server become files in {settings.MAIL_DIR}")
        console.print("  Something to look at: python3 manage.py demo  (in a second terminal)")
        console.print("  Stop with Ctrl+C\n")
        # Links in e-mails and in the CRM lead to where it really answers.
        os.environ.setdefault("SITE_URL", address)
        run_dir = settings.VAR_DIR / "run"
        run_dir.mkdir(parents=True, exist_ok=True)
        # Another terminal finds it here: `manage.py demo`.
        (run_dir / ADDRESS_FILE).write_text(address)
        become_supervisor(run_dir, ["web", "worker"], ["--host", host, "--port", port])
