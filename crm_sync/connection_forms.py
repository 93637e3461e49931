"""The form of a connection: what every connection has, and what its own system asks for.

A connector's Settings stay a plain form; here they get the admin's clothes, are spread over the
connection's encrypted `secrets` and its open `options`, and never show a secret again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold import widgets

from crm_sync.connectors import connector_class
from crm_sync.mappings import METADATA, check_template
from crm_sync.models import Connection, FieldMapping
from crm_sync.source_fields import SOURCE_FIELDS, TEXT

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

SETTING = "setting-"
# The id of the <datalist> that a page with mapping lines carries.
SOURCE_LIST = "crm-sync-source-fields"
KEPT = gettext_lazy("A value is stored. Leave this empty to keep it.")


class ConnectionForm(forms.ModelForm):  # type: ignore[type-arg]  # generic for the checker only
    """Base of the form of each system; see `connection_form`."""

    settings_class: ClassVar[type[forms.Form]]
    secret_names: ClassVar[frozenset[str]]

    forgotten = forms.MultipleChoiceField(
        label=gettext_lazy("Forget these stored values"),
        required=False,
        widget=widgets.UnfoldAdminCheckboxSelectMultipleWidget,
    )

    class Meta:
        model = Connection
        fields = (
            "label",
            "livemode",
            "account",
            "is_enabled",
            "follows_since",
            "base_url",
            "rate_per_second",
            "burst",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in self.settings_class.base_fields:
            field = self.fields[SETTING + name]
            if name in self.secret_names:
                if self.instance.secrets.get(name):
                    field.required = False
                    field.help_text = KEPT
            elif name in self.instance.options:
                field.initial = self.instance.options[name]
        self.fields["forgotten"].choices = forgettable(  # type: ignore[attr-defined]
            self.settings_class, self.instance.secrets
        )

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        account = values.get("account")
        if account is not None and account.livemode != values.get("livemode"):
            self.add_error(
                "account", _("This account is of the other mode: live and test never mix.")
            )
        self._clean_settings(values)
        return values

    def _clean_settings(self, values: Mapping[str, Any]) -> None:
        """Let the system's own form see its values together, as it would alone."""
        forgotten = values.get("forgotten", ())
        together = self.settings_class(
            {
                name: self._posted(name) or self._stored(name, forgotten)
                if name in self.secret_names
                else self._posted(name)
                for name in self.settings_class.base_fields
            }
        )
        for name, errors in together.errors.items():
            field = SETTING + name if name in together.fields else None
            if field is None or field not in self.errors:
                self.add_error(field, errors)

    def _posted(self, name: str) -> Any:
        field = self.fields[SETTING + name]
        return field.widget.value_from_datadict(
            self.data, self.files, self.add_prefix(SETTING + name)
        )

    def _stored(self, name: str, forgotten: Collection[str]) -> Any:
        return "" if name in forgotten else self.instance.secrets.get(name)

    def save(self, commit: bool = True) -> Connection:
        """Write what was asked for and nothing else: workers move the rest of the row meanwhile."""
        connection = self.instance
        given = {
            name: self.cleaned_data[SETTING + name] for name in self.settings_class.base_fields
        }
        new_secrets = {
            name: value for name, value in given.items() if name in self.secret_names and value
        }
        forgotten = set(self.cleaned_data["forgotten"]) - set(new_secrets)
        # A worker may have renewed an access token since the page was opened.
        row = Connection.objects.select_for_update().filter(pk=connection.pk).first()
        kept = row.secrets if row else {}
        connection.secrets = {
            **{name: value for name, value in kept.items() if name not in forgotten},
            **new_secrets,
        }
        connection.options = {
            **(row.options if row else {}),
            **{name: value for name, value in given.items() if name not in self.secret_names},
        }
        saved: Connection = super().save(commit)
        return saved


def connection_form(slug: str) -> type[ConnectionForm]:
    """The form of a connection to this system. Raises KeyError for an unknown one."""
    settings_class = connector_class(slug).Settings
    fields = {SETTING + name: dressed(field) for name, field in settings_class().fields.items()}
    secret_names = frozenset(
        name for name, field in settings_class.base_fields.items() if _is_secret(field)
    )
    return type(
        f"{slug.title()}ConnectionForm",
        (ConnectionForm,),
        {**fields, "settings_class": settings_class, "secret_names": secret_names},
    )


def forgettable(settings_class: type[forms.Form], secrets: Mapping[str, Any]) -> list[Any]:
    """Stored secrets that the system can do without: name and label."""
    return [
        (name, field.label)
        for name, field in settings_class.base_fields.items()
        if _is_secret(field) and not field.required and secrets.get(name)
    ]


def _is_secret(field: forms.Field) -> bool:
    return isinstance(field.widget, forms.PasswordInput)


def dressed(field: forms.Field) -> forms.Field:
    """The same field with the admin's widget."""
    widget = field.widget
    attrs = dict(widget.attrs)
    match widget:
        case forms.PasswordInput():
            attrs["autocomplete"] = "new-password"
            field.widget = widgets.UnfoldAdminPasswordWidget(attrs)
        case forms.CheckboxSelectMultiple():
            field.widget = widgets.UnfoldAdminCheckboxSelectMultipleWidget(attrs)
        case forms.SelectMultiple():
            field.widget = widgets.UnfoldAdminSelectMultipleWidget(attrs)
        case forms.Select():
            field.widget = widgets.UnfoldAdminSelectWidget(attrs)
        case forms.CheckboxInput():
            field.widget = widgets.UnfoldBooleanSwitchWidget(attrs)
        case forms.Textarea():
            field.widget = widgets.UnfoldAdminTextareaWidget(attrs)
        case forms.NumberInput():
            field.widget = widgets.UnfoldAdminDecimalFieldWidget(attrs)
        case forms.EmailInput():
            field.widget = widgets.UnfoldAdminEmailInputWidget(attrs)
        case forms.URLInput():
            field.widget = widgets.UnfoldAdminURLInputWidget(attrs)
        case forms.TextInput():
            field.widget = widgets.UnfoldAdminTextInputWidget(attrs)
    if hasattr(field, "choices"):
        field.widget.choices = field.choices
    field.widget.is_required = field.required
    return field


class FieldMappingForm(forms.ModelForm):  # type: ignore[type-arg]  # generic for the checker only
    """One line of a mapping. Our fields are offered by name with an example (SOURCE_LIST)."""

    class Meta:
        model = FieldMapping
        fields = (
            "is_enabled",
            "record_kind",
            "source_field",
            "target_field",
            "mode",
            "template",
            "value_map",
            "position",
        )
        widgets: ClassVar[dict[str, forms.Widget]] = {
            "source_field": widgets.UnfoldAdminTextInputWidget(
                {"list": SOURCE_LIST, "autocomplete": "off", "spellcheck": "false"}
            ),
            "value_map": widgets.UnfoldAdminTextareaWidget({"rows": 2, "spellcheck": "false"}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs["aria-label"] = str(field.label).capitalize()

    def clean_source_field(self) -> str:
        name: str = self.cleaned_data["source_field"].strip()
        is_metadata = name.startswith(METADATA) and name != METADATA
        if name == TEXT or is_metadata or name in SOURCE_FIELDS:
            return name
        raise forms.ValidationError(
            _("We have no field called %(name)s. Choose one from the list, or metadata.KEY."),
            params={"name": name},
        )

    def clean_template(self) -> str:
        template: str = self.cleaned_data["template"]
        check_template(template)
        return template

    def clean_value_map(self) -> dict[str, str]:
        value = self.cleaned_data["value_map"] or {}
        is_map = isinstance(value, dict) and all(
            isinstance(theirs, str | int | float | bool) for theirs in value.values()
        )
        if not is_map:
            raise forms.ValidationError(
                _('Write our values and theirs in pairs, for example {"refunded": "Zwrot"}.')
            )
        return {ours: str(theirs) for ours, theirs in value.items()}


def source_choices() -> list[tuple[str, str]]:
    """Our fields as people choose them: the name, what it is, and an example."""
    return [
        (TEXT, _("A text put together from a template")),
        *(
            (key, f"{field.label}: {field.description} ({field.example})")
            for key, field in SOURCE_FIELDS.items()
        ),
    ]
