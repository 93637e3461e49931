"""Django's entry for everything that leaves."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CrmSyncConfig(AppConfig):
    name = "crm_sync"
    verbose_name = _("What leaves")

    def ready(self) -> None:
        from crm_sync import deliveries, timeline
        from payments.events import event_recorded
        from payments.timeline import mark_sources, timeline_sources

        event_recorded.connect(deliveries.plan, dispatch_uid="crm_sync.deliveries.plan")
        timeline_sources.append(timeline.steps)
        mark_sources.append(timeline.marks)
