"""Keep dj-stripe's tables in step with what Stripe showed us, without the network and without keys.

dj-stripe is the mirror: every object goes through its own `sync_from_stripe_data`. Two things it
does by itself are taken away from it here. It would call Stripe for each related object that it
does not have, inside our transaction: it gets an HTTP client that knows no object. And it would
store the API key in clear: it gets one that opens nothing. A mirror that fails never costs a
payment; the road goes on and the webhook says so.
"""

from __future__ import annotations

import logging
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson
import stripe
from django.db import transaction
from djstripe import enums, models
from djstripe.models.base import StripeModel

from payments.providers.stripe.products import id_of
from payments.texts import may_hold_card_number, without_card_numbers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payments.models import ProviderAccount
    from payments.providers.stripe.snapshots import Snapshot

logger = logging.getLogger(__name__)

MODELS: dict[str, type[StripeModel]] = {
    "balance_transaction": models.BalanceTransaction,
    "charge": models.Charge,
    "checkout.session": models.Session,
    "customer": models.Customer,
    "dispute": models.Dispute,
    "invoice": models.Invoice,
    "payment_intent": models.PaymentIntent,
    "payout": models.Payout,
    "price": models.Price,
    "product": models.Product,
    "refund": models.Refund,
    "subscription": models.Subscription,
}
# Where dj-stripe walks through a list inside the object, it wants the stripe library's own type.
WITH_LISTS = frozenset(("invoice", "subscription"))
# A subscription's "deleted" only means that it ended: it stays an object like any other.
DELETIONS = frozenset(("customer.deleted", "price.deleted", "product.deleted"))
# Our mark inside stripe_data: as of when the object is, as Stamp.json.
AS_OF = "quittance_as_of"


class Deaf(stripe.HTTPClient):
    """Answers every call of the stripe library at once: no such object, an empty list."""

    name = "deaf"

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        post_data: Any = None,
    ) -> tuple[str, int, Mapping[str, str]]:
        if method.lower() == "get" and _names_a_list(url):
            return '{"object": "list", "data": [], "has_more": false}', 200, {}
        return (
            '{"error": {"type": "invalid_request_error", "code": "resource_missing",'
            ' "message": "No such object in the mirror."}}',
            404,
            {},
        )

    def close(self) -> None:
        """Nothing is open."""


def _names_a_list(url: str) -> bool:
    """/v1/products/prod_1/features, but not /v1/products/prod_1."""
    words = url.partition("/v1/")[2].partition("?")[0].strip("/").split("/")
    return len(words) % 2 == 1 and words[0] != "account"


stripe.default_http_client = Deaf()
stripe.max_network_retries = 0


class Mirror:
    """One account's part of dj-stripe's tables."""

    def __init__(self, account: ProviderAccount) -> None:
        self.account = account
        self.problems: list[str] = []
        self._owner: models.Account | None = None

    def take(self, snapshot: Snapshot, *, is_newest: bool = False) -> None:
        """Mirror one object, unless what is there is as new. Never raises; see `problems`.

        Inside the caller's transaction, in a savepoint of its own. `is_newest`: the caller knows.
        """
        model = MODELS.get(snapshot.kind)
        if model is None or not snapshot.id:
            return
        try:
            with transaction.atomic():
                self._take(model, snapshot, is_newest)
        except Exception as problem:
            # Whatever an update of Stripe or dj-stripe breaks here, the payment is not lost.
            logger.warning(
                "mirror failed", exc_info=True, extra={"kind": snapshot.kind, "id": snapshot.id}
            )
            self.problems.append(
                f"{snapshot.kind} {snapshot.id} is not in the mirror ({type(problem).__name__})."
            )

    def _take(self, model: type[StripeModel], snapshot: Snapshot, is_newest: bool) -> None:
        as_of = snapshot.stamp.json
        is_gone = snapshot.object.get("deleted") or snapshot.event_type in DELETIONS
        row = None
        if is_gone or not is_newest:
            row = model.objects.filter(id=snapshot.id).values_list("stripe_data", flat=True).first()
            stored = row.get(AS_OF, [0, 0]) if row else [0, 0]
            is_first_word = snapshot.event_type.endswith(".created")
            if stored > as_of or (stored == as_of and is_first_word) or (row or {}).get("deleted"):
                return
        if is_gone:
            self._bury(model, snapshot, row)
            return
        data = fit_to_store({**snapshot.object, AS_OF: as_of})
        self._prepare_parents(data)
        if snapshot.kind in WITH_LISTS:
            data = stripe.convert_to_stripe_object(data)
        model.sync_from_stripe_data(data, api_key=self._key())

    def _bury(
        self, model: type[StripeModel], snapshot: Snapshot, row: dict[str, Any] | None
    ) -> None:
        """A deleted object keeps its row, marked. dj-stripe would ask Stripe to delete it again."""
        data = {**(row or snapshot.object), "deleted": True, AS_OF: snapshot.stamp.json}
        if row is None:
            self._stub(model, snapshot.id, data)
        else:
            model.objects.filter(id=snapshot.id).update(stripe_data=fit_to_store(data))

    def _prepare_parents(self, data: dict[str, Any]) -> None:
        """Make bare rows where dj-stripe insists on a parent that no event has brought yet."""
        for name, model in PARENTS.get(data["object"], {}).items():
            key = id_of(data.get(name))
            if key and not model.objects.filter(id=key).exists():
                self._stub(model, key, {"id": key, "object": model.stripe_class.OBJECT_NAME})
        if data["object"] == "subscription":
            for item in (data.get("items") or {}).get("data", ()):
                self._prepare_parents({"object": "price", **(item.get("price") or {})})

    def _stub(self, model: type[StripeModel], key: str, data: dict[str, Any]) -> None:
        fields: dict[str, Any] = {
            "livemode": self.account.livemode,
            "stripe_data": fit_to_store(data),
        }
        if model is models.Charge:
            fields |= {"amount": 0, "currency": ""}
        model.objects.get_or_create(
            id=key, defaults={**fields, "djstripe_owner_account": self._owner_account()}
        )

    def _key(self) -> str:
        self._owner_account()
        return placeholder_key(self.account)

    def _owner_account(self) -> models.Account:
        if self._owner is None:
            known = (
                models.APIKey.objects.filter(secret=placeholder_key(self.account))
                .select_related("djstripe_owner_account")
                .first()
            )
            self._owner = known.djstripe_owner_account if known else None
        if self._owner is None:
            self._owner = self._make_owner()
        return self._owner

    def _make_owner(self) -> models.Account:
        key = self.account.external_id or placeholder_account(self.account)
        owner, _ = models.Account.objects.get_or_create(
            id=key,
            defaults={
                "livemode": self.account.livemode,
                "stripe_data": {"id": key, "object": "account"},
            },
        )
        models.APIKey.objects.update_or_create(
            secret=placeholder_key(self.account),
            defaults={
                "type": enums.APIKeyType.secret,
                "livemode": self.account.livemode,
                "name": f"No key: stands for {self.account.slug}"[:100],
                "djstripe_owner_account": owner,
            },
        )
        return owner


PARENTS: dict[str, dict[str, type[StripeModel]]] = {
    "charge": {},
    "invoice": {"customer": models.Customer},
    "price": {"product": models.Product},
    "refund": {"charge": models.Charge},
    "subscription": {"customer": models.Customer},
}


def product_names(keys: list[str]) -> dict[str, str]:
    """The names of the products that the mirror knows."""
    rows = models.Product.objects.filter(id__in=keys).exclude(name="")
    return dict(rows.values_list("id", "name"))


def invoice_payer(key: str) -> tuple[Any, Any, Any]:
    """(e-mail, name, country) that the mirrored invoice names."""
    row = (
        models.Invoice.objects.filter(id=key)
        .values_list(
            "stripe_data__customer_email",
            "stripe_data__customer_name",
            "stripe_data__customer_address__country",
        )
        .first()
    )
    return row or (None, None, None)


def placeholder_key(account: ProviderAccount) -> str:
    """What dj-stripe gets for a key: has the right shape, opens nothing, is no secret."""
    mode = "live" if account.livemode else "test"
    return f"sk_{mode}_quittanceplaceholder{account.pk:010d}"


def placeholder_account(account: ProviderAccount) -> str:
    """An account's id where the key may not see its own account (restricted keys may not)."""
    return f"acct_unknown{sha256(str(account.pk).encode()).hexdigest()[:12]}"


def fit_to_store(data: dict[str, Any]) -> dict[str, Any]:
    """A deep copy that dj-stripe may change, without NULs and card numbers."""
    body = orjson.dumps(data)
    copy: dict[str, Any] = orjson.loads(body)
    if b"\\u0000" in body or may_hold_card_number(body):
        copy = _scrubbed(copy)
    return copy


def _scrubbed(value: Any) -> Any:
    if isinstance(value, str):
        return without_card_numbers(value.replace("\x00", ""))
    if isinstance(value, dict):
        return {_scrubbed(key): _scrubbed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_scrubbed(item) for item in value]
    return value
