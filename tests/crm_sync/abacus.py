"""A made-up CRM for the tests of the screens: its answers are set on the class."""

from __future__ import annotations

from django import forms

from crm_sync.connectors.base import Connector, Problem
from crm_sync.mappings import Line


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
    asked = 0

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
        type(self).asked += 1
        if self.problem is not None:
            raise self.problem
        return "Connected as Acme Sp. z o.o. (shelf 42)"

    def wishes(self, event):
        return ()
