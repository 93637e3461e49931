"""A made-up CRM for the tests of the screens: its answers are set on the class."""

from __future__ import annotations

from dataclasses import dataclass

from django import forms

from crm_sync.connectors.base import Connector, Problem
from crm_sync.mappings import Line


@dataclass
class Pipeline:
    id: str
    label: str
    stages: tuple[tuple[str, str], ...]


class Abacus(Connector):
    slug = "abacus"
    label = "Abacus"
    family = "crm"
    rate_per_second = 3.0
    burst = 7
    defaults = (
        Line("deal", "payment.amount", "amount"),
        Line("deal", "payment.paid_on", "paid_on"),
    )
    problem: Problem | None = None
    has_properties = False

    class Settings(forms.Form):
        token = forms.CharField(label="Key", widget=forms.PasswordInput)
        old_token = forms.CharField(label="Old key", widget=forms.PasswordInput, required=False)
        shelf = forms.CharField(label="Shelf", required=False)

        def clean(self):
            values = super().clean()
            if values.get("shelf") == "attic":
                self.add_error("shelf", "There is no attic.")
            return values

    def check(self) -> str:
        if self.problem is not None:
            raise self.problem
        return "Connected as Acme Sp. z o.o. (shelf 42)"

    def missing_properties(self) -> list[tuple[str, str]]:
        if self.problem is not None:
            raise self.problem
        return [] if self.has_properties else [("deal", "quittance_key")]

    def create_properties(self) -> list[tuple[str, str]]:
        missing = self.missing_properties()
        type(self).has_properties = True
        return missing

    def pipelines(self) -> list[Pipeline]:
        return [
            Pipeline("7", "Nowe płatności", (("71", "Nowa"), ("72", "Zrealizowana"))),
            Pipeline("8", "Serwis", (("81", "Zgłoszenie"),)),
        ]

    def wishes(self, event):
        return ()
