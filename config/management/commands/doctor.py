"""`manage.py doctor`: what is wrong with this installation, and what to do about it."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console

from config.doctor import examine

SIGNS = {"good": "[green]✓[/green]", "warning": "[yellow]![/yellow]", "bad": "[red]✗[/red]"}


class Command(BaseCommand):
    help = "Looks at everything that has to be right and says what to do where it is not."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object, nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        console = Console(highlight=False, soft_wrap=True)
        findings = []
        for finding in examine():
            findings.append(finding)
            if options["json"]:
                continue
            console.print(f"{SIGNS[finding.state]} {finding.about}: ", end="")
            console.print(finding.says, markup=False)
            if finding.fix and finding.state != "good":
                console.print(f"    {finding.fix}", markup=False)
        if options["json"]:
            self.stdout.write(json.dumps([finding.as_dict() for finding in findings]))
        if any(finding.state == "bad" for finding in findings):
            raise CommandError("Something has to be put right: see above.", returncode=1)
