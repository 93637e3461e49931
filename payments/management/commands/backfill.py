"""manage.py backfill stripe --since 2026-01-01: bring a provider's history, one kind after another.

Goes on where it was interrupted; what came before is not brought twice. Records (the CRM) follow
history, messages do not.
"""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, cast

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from payments.models import ProviderAccount, ProviderCursor
from payments.providers import PROVIDERS, provider_for
from payments.providers.base import ProviderProblem

if TYPE_CHECKING:
    from payments.providers.base import Provider


class Command(BaseCommand):
    help = "Bring a provider's history. Safe to interrupt and to repeat."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("provider", choices=sorted(PROVIDERS))
        parser.add_argument("--since", required=True, type=day, help="The first day: 2026-01-31.")
        parser.add_argument("--types", nargs="+", default=[], help="Only these kinds of objects.")
        parser.add_argument("--account", default="", help="Only this account (its address name).")
        parser.add_argument(
            "--again", action="store_true", help="Start over instead of going on where it stopped."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        accounts = ProviderAccount.objects.filter(provider=options["provider"], is_active=True)
        if options["account"]:
            accounts = accounts.filter(slug=options["account"])
        if not accounts:
            raise CommandError(_("There is no such account."))
        for account in accounts:
            try:
                self._bring(account, options["since"], options["types"], again=options["again"])
            except ProviderProblem as problem:
                raise CommandError(f"{account.label}: {problem}") from problem

    def _bring(
        self, account: ProviderAccount, since: datetime, wanted: list[str], *, again: bool
    ) -> None:
        provider = provider_for(account)
        kinds = [kind for kind in provider.history_kinds if not wanted or kind in wanted]
        unknown = sorted(set(wanted) - set(kinds))
        if unknown:
            raise CommandError(
                _("There is nothing called %(unknown)s. There is: %(known)s.")
                % {"unknown": ", ".join(unknown), "known": ", ".join(provider.history_kinds)}
            )
        console = Console(file=cast("IO[str]", self.stdout), force_terminal=self.stdout.isatty())
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}"))
        brought: dict[str, int] = {}
        with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
            for kind in kinds:
                task = progress.add_task(f"{account.label}: {kind}", total=None)
                brought[kind] = 0
                for number in pages(provider, since, kind, again=again):
                    brought[kind] += number
                    progress.update(task, advance=number)
                progress.update(task, total=brought[kind] or 1, completed=brought[kind] or 1)
        for kind, number in brought.items():
            console.print(f"{account.label}: {kind} {number}", highlight=False)
        total = sum(brought.values())
        text = ngettext("%(n)d object brought.", "%(n)d objects brought.", total) % {"n": total}
        console.print(f"{account.label}: {text}", highlight=False)


def pages(provider: Provider, since: datetime, kind: str, *, again: bool = False) -> Any:
    """Bring one kind page by page; yields how many objects each page had.

    The place is kept after each page, so a kill costs one page, which is projected again without
    harm.
    """
    cursor, _ = ProviderCursor.objects.get_or_create(
        account=provider.account, stream=f"history:{kind}:{since:%Y-%m-%d}"
    )
    position = {} if again else cursor.position
    if position.get("done"):
        # Everything up to then is here; what came since comes by itself, or with an earlier day.
        position = {}
    for page in provider.history(since, kind, position):
        projected = provider.project_history(page.objects)
        cursor.position = page.position
        cursor.found += projected
        cursor.save(update_fields=["position", "found", "updated_at"])
        yield projected


def day(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise ArgumentTypeError(_("A day is written like this: 2026-01-31.")) from None
