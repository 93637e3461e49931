"""What people fill in on the pages of this floor: filters, reasons, corrections, connections."""

from __future__ import annotations

from datetime import datetime, time
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils import timezone
from django.utils.formats import localize
from django.utils.translation import gettext_lazy as _
from unfold import widgets

from crm_sync import wording
from crm_sync.failures import Which
from crm_sync.models import Connection, Delivery


def day_input() -> forms.DateInput:
    """The browser's own day picker: works without JavaScript and with a keyboard."""
    classes = " ".join(widgets.INPUT_CLASSES)
    return forms.DateInput({"type": "date", "class": classes}, format="%Y-%m-%d")


class WhichForm(forms.Form):
    """Narrow down which failed deliveries are meant. Its values are a `Which`."""

    connection = forms.ModelChoiceField(
        Connection.objects.defer("secrets"),
        label=_("Connection"),
        required=False,
        widget=widgets.UnfoldAdminSelectWidget,
        empty_label=_("every connection"),
    )
    purpose = forms.ChoiceField(
        label=_("What"), required=False, widget=widgets.UnfoldAdminSelectWidget
    )
    since = forms.DateField(label=_("Failed from"), required=False, widget=day_input())
    until = forms.DateField(label=_("to"), required=False, widget=day_input())
    currency = forms.CharField(
        label=_("Currency"),
        required=False,
        min_length=3,
        max_length=3,
        widget=widgets.UnfoldAdminTextInputWidget,
    )
    amount_from = forms.DecimalField(
        label=_("Amount from"), required=False, widget=widgets.UnfoldAdminDecimalFieldWidget
    )
    amount_to = forms.DecimalField(
        label=_("Amount to"), required=False, widget=widgets.UnfoldAdminDecimalFieldWidget
    )
    state = forms.ChoiceField(
        required=False,
        choices=[("", ""), *((state.value, state.label) for state in Delivery.FAILED)],
        widget=forms.HiddenInput,
    )
    cause = forms.CharField(required=False, max_length=60, widget=forms.HiddenInput)
    about = forms.CharField(required=False, max_length=200, widget=forms.HiddenInput)

    def __init__(self, data: QueryDict) -> None:
        super().__init__(data)
        purposes = [(name, str(text).capitalize()) for name, text in wording.PURPOSES.items()]
        self.fields["purpose"].choices = [("", _("everything")), *purposes]  # type: ignore[attr-defined]

    def clean_currency(self) -> str:
        return str(self.cleaned_data["currency"]).upper()

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        has_amount = values.get("amount_from") is not None or values.get("amount_to") is not None
        if has_amount and not values.get("currency"):
            self.add_error("currency", _("An amount needs its currency, for example PLN."))
        return values

    @classmethod
    def of(cls, which: Which) -> WhichForm:
        """The form that would mean `which`."""
        query = QueryDict(mutable=True)
        query.update(which.as_dict())
        form = cls(query)
        form.is_valid()
        return form

    def said(self, name: str) -> str:
        """What was chosen in this field, as people read it; empty when nothing was."""
        value = self.cleaned_data.get(name)
        if value in (None, ""):
            return ""
        return wording.purpose(value) if name == "purpose" else localize(value)

    @property
    def which(self) -> Which:
        """What was chosen. Only after `is_valid()`."""
        values = dict(self.cleaned_data)
        connection = values.pop("connection")
        return Which(connection=connection.pk if connection else None, **values)

    @property
    def is_narrowed(self) -> bool:
        """Whether a person has filled in anything that shows."""
        return any(self.data.get(field.name) for field in self.visible_fields())


class IgnoreForm(forms.Form):
    """Why something is left alone, and until when."""

    reason = forms.CharField(
        label=_("Why"),
        max_length=300,
        widget=widgets.UnfoldAdminTextInputWidget,
        help_text=_("A colleague who looks for this payment reads it."),
    )
    until = forms.DateField(
        label=_("Until"),
        required=False,
        widget=day_input(),
        help_text=_("It comes back to the inbox on this day. Leave empty to ignore it for good."),
    )

    def clean_until(self) -> datetime | None:
        day = self.cleaned_data["until"]
        if day is None:
            return None
        if day <= timezone.localdate():
            raise forms.ValidationError(_("Choose a day after today."))
        return timezone.make_aware(datetime.combine(day, time.min))
