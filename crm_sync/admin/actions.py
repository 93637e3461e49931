"""What people do about deliveries: retry, ignore, send again, correct an address. One view each.

Every view works without JavaScript: what needs a thought has a page of its own before it acts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from crm_sync import failures, wording
from crm_sync.admin.inbox import size_text
from crm_sync.admin.pages import back, back_url, page, require, say
from crm_sync.failures import Which
from crm_sync.forms import IgnoreForm, WhichForm
from crm_sync.models import BulkRetry, Delivery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from django.contrib.admin import AdminSite
    from django.db.models import QuerySet
    from django.http import HttpRequest

INBOX = "admin:crm_sync_failures"
# A page of selected rows is never longer; more than these go through a plan.
MOST_SELECTED = 500


class DeliveryActions:
    """The buttons of the pages of deliveries. Mixed into the admin of deliveries."""

    admin_site: AdminSite

    def action_views(self) -> Iterable[tuple[str, Callable[..., HttpResponse], str]]:
        return (
            ("retry/", require_POST(self.retry_view), "retry"),
            ("failures/retry/", self.retry_plan_view, "retry_plan"),
            ("failures/ignore/", self.ignore_view, "ignore"),
            ("bulk-retries/<int:pk>/", self.bulk_retry_view, "bulk_retry"),
            ("bulk-retries/<int:pk>/cancel/", require_POST(self.cancel_view), "bulk_retry_cancel"),
            ("<int:pk>/send-again/", self.send_again_view, "send_again"),
            ("<int:pk>/consider-sent/", require_POST(self.consider_sent_view), "consider_sent"),
            ("<int:pk>/correct-email/", require_POST(self.correct_email_view), "correct_email"),
        )

    def retry_view(self, request: HttpRequest) -> HttpResponse:
        """Retry one delivery, or the selected ones."""
        user = require(request, "retry_delivery")
        chosen = _selected(request)
        if chosen is None:
            messages.warning(request, _("Select the deliveries first."))
            return back(request, INBOX)
        unsure = chosen.filter(state=Delivery.State.UNSURE).count()
        count = failures.retry(chosen, user, request)
        done = ngettext(
            "%(n)s delivery is tried again now.", "%(n)s deliveries are tried again now.", count
        )
        kept = ngettext(
            "%(n)s message was left alone because it may have arrived already.",
            "%(n)s messages were left alone because they may have arrived already.",
            unsure,
        )
        if count or not unsure:
            say(request, count, done % {"n": count})
        if unsure:
            messages.warning(request, kept % {"n": unsure})
        return back(request, INBOX)

    def retry_plan_view(self, request: HttpRequest) -> HttpResponse:
        """First how many and how much money, then retry all of them."""
        user = require(request, "retry_delivery")
        which = _which(request)
        if request.method == "POST":
            bulk = failures.start_bulk_retry(which, user, request)
            failures.release_some(bulk)
            return HttpResponseRedirect(reverse("admin:crm_sync_bulk_retry", args=(bulk.pk,)))
        plan = failures.plan(which.without_unsure())
        return page(
            request,
            self.admin_site,
            "retry_plan",
            _("Retry all of these?"),
            plan=plan,
            size=size_text(plan),
            unsure=which.deliveries().filter(state=Delivery.State.UNSURE).count(),
            narrowing=_narrowing(which),
            cancel_url=back_url(request, reverse(INBOX)),
        )

    def bulk_retry_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """How far a bulk retry has come. The page loads itself again while it runs."""
        require(request, "view_delivery")
        bulk = get_object_or_404(BulkRetry.objects.select_related("asked_by"), pk=pk)
        which = Which.from_dict(bulk.filters)
        return page(
            request,
            self.admin_site,
            "bulk_retry",
            _("Retry of many deliveries"),
            bulk=bulk,
            is_running=bulk.state == BulkRetry.State.RUNNING,
            looked_at=min(bulk.released, bulk.planned),
            skipped=bulk.planned - bulk.released if bulk.state == BulkRetry.State.DONE else 0,
            narrowing=_narrowing(which),
            still=failures.plan(which).count,
        )

    def cancel_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        user = require(request, "retry_delivery")
        bulk = get_object_or_404(BulkRetry, pk=pk)
        done = failures.cancel_bulk_retry(bulk, user, request)
        say(
            request,
            int(done),
            _("Stopped. What was released already is on its way."),
            _("It had come to its end already."),
        )
        return HttpResponseRedirect(reverse("admin:crm_sync_bulk_retry", args=(pk,)))

    def ignore_view(self, request: HttpRequest) -> HttpResponse:
        """Ask for the reason, then take the selected or all that are meant out of the inbox."""
        user = require(request, "ignore_delivery")
        selected = _selected(request)
        which = _which(request)
        chosen = which.deliveries() if selected is None else selected
        form = IgnoreForm(request.POST if "reason" in request.POST else None)
        if form.is_valid():
            values = form.cleaned_data
            count = failures.ignore(chosen, user, values["reason"], values["until"], request)
            done = ngettext(
                "%(n)s delivery is ignored now.", "%(n)s deliveries are ignored now.", count
            )
            say(request, count, done % {"n": count})
            return back(request, INBOX)
        plan = failures.plan_of(chosen)
        return page(
            request,
            self.admin_site,
            "ignore",
            _("Ignore these failures"),
            form=form,
            size=size_text(plan),
            plan=plan,
            ids=request.POST.getlist("ids"),
            narrowing=_narrowing(which) if selected is None else [],
            back=back_url(request, reverse(INBOX)),
        )

    def send_again_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Asks a second time before a message leaves that the customer may have already."""
        user = require(request, "retry_delivery")
        delivery = get_object_or_404(
            Delivery.objects.select_related("connection", "payment", "customer"), pk=pk
        )
        if request.method == "POST" and request.POST.get("sure") == "yes":
            done = failures.send_again(delivery, user, request)
            say(request, int(done), _("It is being sent again."))
            return back(request, "admin:crm_sync_delivery_change", pk)
        return page(
            request,
            self.admin_site,
            "send_again",
            _("Send again?"),
            delivery=delivery,
            what=wording.purpose(delivery.purpose),
            is_unsure=delivery.state == Delivery.State.UNSURE,
            was_asked=request.method == "POST",
            back=back_url(request, reverse("admin:crm_sync_delivery_change", args=(pk,))),
        )

    def consider_sent_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        user = require(request, "ignore_delivery")
        delivery = get_object_or_404(Delivery, pk=pk)
        done = failures.consider_sent(delivery, user, request)
        say(request, int(done), _("It counts as sent now."))
        return back(request, "admin:crm_sync_delivery_change", pk)

    def correct_email_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Mend the customer's address and retry what failed because of it."""
        user = require(request, "fix_value", "retry_delivery")
        delivery = get_object_or_404(Delivery.objects.select_related("customer"), pk=pk)
        if delivery.customer is None:
            raise Http404
        try:
            address = request.POST.get("email", "")
            count = failures.correct_email(delivery.customer, address, user, request)
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
            return back(request, "admin:crm_sync_delivery_change", pk)
        done = ngettext(
            "The address is corrected, and %(n)s delivery is tried again now.",
            "The address is corrected, and %(n)s deliveries are tried again now.",
            count,
        )
        say(
            request,
            count,
            done % {"n": count},
            _("The address is corrected. Nothing of this customer was waiting for it."),
        )
        return back(request, "admin:crm_sync_delivery_change", pk)


def _selected(request: HttpRequest) -> QuerySet[Delivery] | None:
    """The deliveries whose ids were posted; None when there were none."""
    ids = [int(pk) for pk in request.POST.getlist("ids") if pk.isdecimal()][:MOST_SELECTED]
    return Delivery.objects.filter(pk__in=ids) if ids else None


def _which(request: HttpRequest) -> Which:
    """The filter in the address. Raises Http404 for one that nobody could have chosen."""
    form = WhichForm(request.GET)
    if not form.is_valid():
        raise Http404
    return form.which


def _narrowing(which: Which) -> list[tuple[str, str]]:
    """A filter in words, for the page that asks before it acts."""
    form = WhichForm.of(which)
    shown = [(str(field.label), form.said(field.name)) for field in form.visible_fields()]
    if which.cause:
        cause = wording.explain(failures.plain(which.cause), failures.plain(which.about))
        shown.insert(0, (_("Cause"), cause.title))
        shown.insert(1, (_("About"), cause.about))
    return [(label, text) for label, text in shown if text]
