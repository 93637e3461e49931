"""A deal's stage follows the money, forward, and leaves a colleague's choice alone."""

from __future__ import annotations

import pytest

from payments.models import ProviderInvoice
from tests.crm_sync.connectors.crm.office import (
    DONE,
    FAILED,
    INVOICED,
    NEW,
    REFUNDED,
    Office,
    anna_pays,
)
from tests.factories import NOON


def stage(office):
    return office.deals()[0]["properties"]["dealstage"]


def test_the_stage_goes_forward_with_the_payment(running, db):
    office = Office(running, started_deals=True, provider_invoice_counts=True)
    payment = anna_pays(status="processing", paid_at=None)
    office.bring(payment)
    assert stage(office) == NEW

    payment.status, payment.paid_at = "succeeded", NOON
    payment.save()
    office.bring(payment)
    assert stage(office) == DONE

    payment.invoice = ProviderInvoice.objects.create(
        account=payment.account, external_id="in_1", number="A-1", livemode=False, status="paid",
        amount_due_minor=24900, amount_paid_minor=24900, amount_remaining_minor=0,
        currency="PLN", created_at=NOON,
    )  # fmt: skip
    payment.save()
    office.bring(payment)
    assert stage(office) == INVOICED


def test_late_news_never_moves_a_deal_backwards(running, db):
    office = Office(running, started_deals=True)
    payment = anna_pays()
    office.bring(payment)
    payment.status = "processing"
    payment.method = "BLIK"
    payment.save()
    office.bring(payment)
    assert stage(office) == DONE


def test_a_deal_that_a_salesperson_moved_further_stays_there(running, db):
    office = Office(running, started_deals=True)
    payment = anna_pays(status="processing", paid_at=None)
    office.bring(payment)
    records = office.portal.records["deals"]
    deal = records.rows[office.deals()[0]["id"]]
    records.update(deal, {"dealstage": INVOICED})

    payment.status, payment.paid_at = "succeeded", NOON
    payment.save()
    assert office.bring_one(payment).receipt
    assert stage(office) == INVOICED


def test_a_deal_that_a_salesperson_put_into_another_pipeline_stays_there(running, db):
    office = Office(running, started_deals=True)
    payment = anna_pays(status="processing", paid_at=None)
    office.bring(payment)
    records = office.portal.records["deals"]
    deal = records.rows[office.deals()[0]["id"]]
    records.update(deal, {"pipeline": "default", "dealstage": "contractsent"})

    payment.status, payment.paid_at = "succeeded", NOON
    payment.save()
    office.bring(payment)
    said = office.deals()[0]["properties"]
    assert (said["pipeline"], said["dealstage"]) == ("default", "contractsent")


def test_a_refund_shows_its_amount_and_stage(office):
    payment = anna_pays()
    office.bring(payment)

    payment.status, payment.amount_refunded_minor = "partially_refunded", 4900
    payment.save()
    office.bring(payment)
    assert stage(office) == DONE
    assert office.deals()[0]["properties"]["quittance_refunded"] == "49.00"
    assert office.deals()[0]["properties"]["quittance_status"] != "succeeded"

    payment.status, payment.amount_refunded_minor = "refunded", 24900
    payment.save()
    office.bring(payment)
    assert stage(office) == REFUNDED
    assert office.deals()[0]["properties"]["quittance_refunded"] == "249.00"


@pytest.mark.parametrize(("wanted", "deals"), [(False, []), (True, [FAILED])])
def test_a_failed_payment_gets_a_deal_only_where_the_office_wants_it(running, db, wanted, deals):
    office = Office(running, failed_deals=wanted)
    parcel = office.bring_one(anna_pays(status="failed", paid_at=None))
    assert parcel.receipt
    assert [deal["properties"]["dealstage"] for deal in office.deals()] == deals
