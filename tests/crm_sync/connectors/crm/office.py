"""An office with a HubSpot portal: how tests bring payments there and look at what arrived."""

from __future__ import annotations

from config.sandbox.hubspot.world import SANDBOX_TOKEN
from crm_sync.connectors.base import Parcel, Problem
from crm_sync.connectors.crm.hubspot import HubSpot
from crm_sync.models import Delivery, ExternalRecord
from tests.factories import ConnectionFactory, DeliveryFactory, PaymentFactory

PIPELINE = "758493021"
NEW, DONE, INVOICED, REFUNDED, FAILED = (str(987654321 + n) for n in range(5))
STAGES = {"new": NEW, "done": DONE, "invoiced": INVOICED, "refunded": REFUNDED, "failed": FAILED}


class Office:
    """One connection to the sandbox's portal. A connector is made anew for each try, as by another
    worker, but keeps what it learnt of the portal."""

    def __init__(self, running, **options):
        self.running = running
        self.portal = running.sandbox.hubspot
        self.faults = running.sandbox.faults
        self.connection = ConnectionFactory(
            base_url=running.hubspot_url,
            secrets={"token": SANDBOX_TOKEN},
            options={"pipeline": PIPELINE, "stages": STAGES, **options},
        )
        self.connector = HubSpot(self.connection)

    def with_properties(self):
        self.connector.create_properties()
        return self

    def deal_delivery(self, payment):
        found = Delivery.objects.filter(
            connection=self.connection, effect_key=f"payment:{payment.pk}"
        ).first()
        if found:
            return found
        customer = payment.customer
        return DeliveryFactory(
            connection=self.connection,
            payment=payment,
            customer=customer,
            order_key=f"customer:{customer.pk}" if customer else f"payment:{payment.pk}",
        )

    def contact_delivery(self, customer):
        return DeliveryFactory(
            connection=self.connection,
            purpose="contact",
            payment=None,
            customer=customer,
            effect_key=f"customer:{customer.pk}",
            order_key=f"customer:{customer.pk}",
            amount_minor=0,
            currency="",
        )

    def bring(self, *payments):
        """One try for these payments; how each ended."""
        return self.try_deliveries([self.deal_delivery(payment) for payment in payments])

    def try_deliveries(self, deliveries):
        parcels = [Parcel(delivery) for delivery in deliveries]
        try:
            self.connector.deliver(parcels)
        except Problem as problem:
            for parcel in parcels:
                if parcel.is_open:
                    parcel.failed(problem)
        assert all(not parcel.is_open for parcel in parcels)
        return parcels

    def bring_one(self, payment):
        (parcel,) = self.bring(payment)
        return parcel

    def calls(self):
        """How many calls reached the portal since it was last asked."""
        total = self.running.sandbox.calls.total("hubspot")
        seen, self._seen = getattr(self, "_seen", 0), total
        return total - seen

    def deals(self):
        return self.portal.deals()

    def contacts(self):
        return self.portal.contacts()

    def record(self, kind, key):
        return ExternalRecord.objects.get(connection=self.connection, kind=kind, local_key=key)


def anna_pays(**values):
    return PaymentFactory(**values)
