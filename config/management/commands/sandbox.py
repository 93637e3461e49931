"""`manage.py sandbox`: our stand-ins for Stripe, HubSpot and a mail server, on this machine."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from config.sandbox.server import LOOPBACK, serve

HTTP_PORT = 8420
SMTP_PORT = 8425


class Command(BaseCommand):
    help = "Runs the stand-ins for Stripe, HubSpot and SMTP until Ctrl+C; their state is kept."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=HTTP_PORT)
        parser.add_argument("--smtp-port", type=int, default=SMTP_PORT)
        parser.add_argument("--fresh", action="store_true", help="forget what was there before")

    def handle(self, *args: Any, port: int, smtp_port: int, fresh: bool, **options: Any) -> None:
        state = settings.VAR_DIR / "sandbox.json"
        state.parent.mkdir(parents=True, exist_ok=True)
        if fresh:
            state.unlink(missing_ok=True)
        self.stdout.write(
            f"Stripe   http://{LOOPBACK}:{port}/stripe\n"
            f"HubSpot  http://{LOOPBACK}:{port}/hubspot\n"
            f"SMTP     {LOOPBACK}:{smtp_port}\n"
            f"Faults and contents: http://{LOOPBACK}:{port}/_sandbox\n"
            "Stop with Ctrl+C."
        )
        serve(LOOPBACK, port, smtp_port, state)
