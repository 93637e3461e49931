"""People who may log in, and the roles they have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.template.loader import render_to_string
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from payments import audit
from payments.roles import ROLES, allows, called

if TYPE_CHECKING:
    from django.db.models import Field, ManyToManyField, Model
    from django.forms import ModelMultipleChoiceField
    from django.http import HttpRequest

FLOORS = ("payments", "invoicing", "crm_sync", "reports", "auth")


@admin.register(User)
class PersonAdmin(UserAdmin, ModelAdmin):
    """Everybody who may log in. Whoever leaves is switched off: the audit trail keeps the name."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "first_name", "last_name", "is_active", "last_login")
    list_filter = ()
    search_fields = ("username", "email", "last_name")
    filter_horizontal = ()
    actions = None
    show_full_result_count = False
    fieldsets = (
        (None, {"fields": ("username", "password_page")}),
        (_("Person"), {"fields": ("first_name", "last_name", "email")}),
        (_("What this person may do"), {"fields": ("is_active", "groups")}),
        (_("When"), {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"fields": ("username", "email", "password1", "password2", "groups")}),)
    readonly_fields = ("password_page", "last_login", "date_joined")

    @admin.display(description=_("password"))
    def password_page(self, person: User) -> str:
        return render_to_string("admin/password_link.html", {"person": person})

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Nobody but a superuser touches a superuser, or could become one by their password."""
        if obj is not None and obj.is_superuser and not request.user.is_superuser:
            return False
        return bool(super().has_change_permission(request, obj))

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or not request.user.is_superuser:
            return fieldsets
        return tuple(
            (title, {"fields": ("is_active", "is_superuser", "groups")})
            if "groups" in options["fields"]
            else (title, options)
            for title, options in fieldsets
        )

    def formfield_for_manytomany(
        self, db_field: ManyToManyField, request: HttpRequest, **kwargs: Any
    ) -> ModelMultipleChoiceField | None:
        """Roles by their names in the reader's language."""
        field: Any = super().formfield_for_manytomany(db_field, request, **kwargs)
        if db_field.name == "groups":
            field.label_from_instance = lambda group: called(group.name)
            field.widget = UnfoldAdminCheckboxSelectMultipleWidget(choices=field.choices)
            field.label, field.help_text = _("Roles"), ""
        chosen: ModelMultipleChoiceField | None = field
        return chosen

    def formfield_for_dbfield(self, db_field: Field, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        return _without_windows(field)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        if not change:
            obj.is_staff = True
        super().save_model(request, obj, form, change)
        action = "person.changed" if change else "person.added"
        fields = [name for name in form.changed_data if not name.startswith("password")]
        audit.note(request, action, obj, name=obj.get_username(), fields=sorted(fields))


@admin.register(Group)
class RoleAdmin(GroupAdmin, ModelAdmin):
    """Manager, Finance and Administrator are kept as the house defines them; others are yours."""

    list_display = ("role",)
    search_fields = ()
    readonly_fields = ("role", "rights")
    actions = None
    filter_horizontal = ()

    @admin.display(description=_("role"))
    def role(self, group: Group) -> str:
        return called(group.name)

    @admin.display(description=_("permissions"))
    def rights(self, group: Group) -> str:
        return "; ".join(map(allows, group.permissions.select_related("content_type")))

    def get_fields(self, request: HttpRequest, obj: Group | None = None) -> tuple[str, ...]:
        """A role of the house is read only: its rights in words instead of a choice."""
        changes = self.has_change_permission(request, obj)
        return ("name", "permissions") if changes else ("role", "rights")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return bool(request.user.is_superuser) and (obj is None or obj.name not in ROLES)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return self.has_change_permission(request, obj)

    def formfield_for_manytomany(
        self, db_field: ManyToManyField, request: HttpRequest | None = None, **kwargs: Any
    ) -> ModelMultipleChoiceField | None:
        field: Any = super().formfield_for_manytomany(db_field, request, **kwargs)
        if db_field.name == "permissions":
            ours = Permission.objects.filter(content_type__app_label__in=FLOORS)
            field.queryset = ours.select_related("content_type")
            field.label_from_instance = allows
        chosen: ModelMultipleChoiceField | None = field
        return chosen

    def formfield_for_dbfield(self, db_field: Field, request: HttpRequest, **kwargs: Any) -> Any:
        return _without_windows(super().formfield_for_dbfield(db_field, request, **kwargs))

    def save_model(self, request: HttpRequest, obj: Group, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        audit.note(request, "role.changed" if change else "role.added", obj, name=obj.name)

    def delete_model(self, request: HttpRequest, obj: Group) -> None:
        audit.note(request, "role.removed", obj, name=obj.name)
        super().delete_model(request, obj)


def _without_windows(field: Any) -> Any:
    """No buttons beside the field that would open a window within the page: frames are refused."""
    widget = getattr(field, "widget", None)
    for right in ("add", "change", "delete", "view"):
        if hasattr(widget, f"can_{right}_related"):
            setattr(widget, f"can_{right}_related", False)
    return field
