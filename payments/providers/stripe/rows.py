"""Put one Stripe object into its one row, unless the row is already newer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from payments.inserts import insert_once
from payments.providers.base import CallsNeeded
from payments.providers.stripe.snapshots import Verdict, verdict

if TYPE_CHECKING:
    from payments.models import ProviderAccount
    from payments.providers.stripe.objects import Kind
    from payments.providers.stripe.snapshots import Snapshot


def put(
    account: ProviderAccount, kind: Kind, snapshot: Snapshot, **also: Any
) -> tuple[Any, Verdict]:
    """(the row, what became of the snapshot). `also`: columns that the object does not name."""
    view = kind.view(snapshot)
    rows = kind.model._default_manager.select_for_update(no_key=True)
    row = rows.filter(account=account, external_id=snapshot.id).first()
    if row is None:
        row = kind.model(
            account=account,
            external_id=snapshot.id,
            livemode=account.livemode,
            as_of=snapshot.stamp.column,
            **view.content,
            **also,
        )
        row.pk = insert_once(row, ("account", "external_id"))
        if row.pk is None:
            # Another worker made it a moment ago; the next try finds it.
            raise CallsNeeded(snapshot.id)
        row._state.adding = False
        return row, Verdict.TAKE
    found = verdict(kind.stored(row), view)
    if found is Verdict.TAKE:
        for name, value in {**view.content, **also, "as_of": snapshot.stamp.column}.items():
            setattr(row, name, value)
        row.save(update_fields=[*view.content, *also, "as_of", "updated_at"])
    return row, found
