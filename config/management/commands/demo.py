"""`manage.py demo`: a believable month through the real road, and something to mend."""

from __future__ import annotations

import time
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import reverse
from rich.console import Console
from rich.live import Live
from rich.table import Table

from config import demo
from config.management.commands.run import ADDRESS_FILE
from config.management.commands.sandbox import HTTP_PORT, SMTP_PORT
from config.sandbox.server import running_sandbox
from config.sandbox.world import Sandbox
from payments.models import ProviderAccount

LOOK = 0.5


class Command(BaseCommand):
    help = "Plays a month of Stripe events against the sandbox, through the running house."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--site", default="", help="where the web server answers")
        parser.add_argument("--seed", type=int, default=1, help="another month for another number")
        parser.add_argument("--port", type=int, default=HTTP_PORT, help="the sandbox's port")
        parser.add_argument("--smtp-port", type=int, default=SMTP_PORT)
        parser.add_argument(
            "--leave", action="store_true", help="end when all is sent; do not keep the sandbox up"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        console = Console(highlight=False, soft_wrap=True)
        site = (options["site"] or _running_at()).rstrip("/")
        _check_site(site)
        state = settings.VAR_DIR / "sandbox.json"
        sandbox = Sandbox()
        if state.exists():
            sandbox.load(state)
        try:
            with running_sandbox(
                sandbox, http_port=options["port"], smtp_port=options["smtp_port"]
            ) as running:
                account = demo.connect(running, site)
                if demo.has_been_told(running):
                    console.print("The month has been told before; its systems are up again.")
                else:
                    with console.status("A month of payments happens at Stripe ..."):
                        events = demo.tell_month(running, options["seed"])
                    console.print(
                        f"{events} events happened; those we listen to are on their way to {site}."
                    )
                _watch(console, account)
                _say_where(console, site)
                if not options["leave"]:
                    _stay(console)
        except demo.OthersWouldHear as problem:
            raise CommandError(str(problem)) from problem
        except OSError as problem:
            raise CommandError(
                f"The sandbox cannot start: {problem}. Is another one running? "
                "Choose other ports with --port and --smtp-port."
            ) from problem
        finally:
            sandbox.save(state)


def _running_at() -> str:
    """Where `manage.py run` of this folder said that it answers."""
    try:
        return (settings.VAR_DIR / "run" / ADDRESS_FILE).read_text().strip()
    except FileNotFoundError:
        return settings.SITE_URL


def _check_site(site: str) -> None:
    try:
        with urlopen(f"{site}/livez", timeout=5) as answer:  # noqa: S310 - an address we were given
            answer.read()
    except (URLError, OSError) as problem:
        raise CommandError(
            f"Nothing answers at {site}. Start the house first, in another terminal: "
            "python3 manage.py run   (or say where it is with --site)."
        ) from problem


def _watch(console: Console, account: ProviderAccount) -> None:
    """Show how the admin fills, until nothing is on its way any more."""
    quiet = 0
    seen = demo.progress(account)
    with Live(_table(seen), console=console, refresh_per_second=4) as live:
        while quiet < 6:
            time.sleep(LOOK)
            now = demo.progress(account)
            live.update(_table(now))
            quiet = quiet + 1 if now.is_done and now == seen else 0
            seen = now


def _table(now: demo.Progress) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2))
    table.add_row("webhooks received", f"{now.webhooks}", f"{now.waiting_webhooks} to process")
    table.add_row("payments", f"{now.payments}")
    table.add_row("deals in HubSpot", f"{now.deals}", f"{now.waiting_deliveries} on their way")
    table.add_row("e-mails", f"{now.messages}", "only news of the last three days is mailed")
    table.add_row("to mend", f"{now.failures}")
    return table


def _say_where(console: Console, site: str) -> None:
    console.print(f"\n  Payments       {site}{reverse('admin:payments_payment_changelist')}")
    console.print(f"  To mend        {site}{reverse('admin:crm_sync_failures')}")
    console.print(f"  Everything     {site}{reverse('admin:index')}\n")


def _stay(console: Console) -> None:
    console.print(
        "The sandbox stays up, so that retries from the admin reach somebody. Stop with Ctrl+C; "
        "`python3 manage.py sandbox` brings it back as it was."
    )
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        console.print("\nThe sandbox is saved.")
