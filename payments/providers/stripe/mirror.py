"""Keep dj-stripe's tables in step with what Stripe showed us, without the network and without keys.

dj-stripe is the mirror: its models say what an object's row looks like, and objects made of others
(invoices, subscriptions) go through its own `sync_from_stripe_data`. That would call Stripe for
each related object that it does not have, inside our transaction, and store the API key in clear:
so it gets a client that knows no object, and a key that opens nothing. Plain objects are written
here by the same field definitions in one statement, at a fraction of the cost; a test holds the two
ways together.

A mirror that fails never costs a payment: the road goes on and the webhook says so.
"""

from __future__ import annotations

import logging
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NoReturn, cast

import orjson
import stripe
from django.db import connection, transaction
from django.db import models as columns
from djstripe import enums, models
from djstripe.fields import StripeForeignKey
from djstripe.models.base import StripeModel

from payments.inserts import insert_once
from payments.providers.stripe.products import id_of
from payments.texts import may_hold_card_number, without_card_numbers

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from payments.models import ProviderAccount
    from payments.providers.stripe.snapshots import Snapshot

logger = logging.getLogger(__name__)

Json = dict[str, Any]
PLAIN: dict[str, type[StripeModel]] = {
    "balance_transaction": models.BalanceTransaction,
    "charge": models.Charge,
    "checkout.session": models.Session,
    "customer": models.Customer,
    "dispute": models.Dispute,
    "payment_intent": models.PaymentIntent,
    "payout": models.Payout,
    "price": models.Price,
    "product": models.Product,
    "refund": models.Refund,
}
MADE_OF_OTHERS: dict[str, type[StripeModel]] = {
    "invoice": models.Invoice,
    "subscription": models.Subscription,
}
MODELS = {**PLAIN, **MADE_OF_OTHERS}
# Where dj-stripe insists on a parent, which an event may bring only later.
PARENTS: dict[str, dict[str, type[StripeModel]]] = {
    "invoice": {"customer": models.Customer},
    "price": {"product": models.Product},
    "refund": {"charge": models.Charge},
    "subscription": {"customer": models.Customer},
}
# A subscription's "deleted" only means that it ended: it stays an object like any other.
DELETIONS = frozenset(("customer.deleted", "price.deleted", "product.deleted"))
# Written by dj-stripe for itself, or found nowhere in the object.
NOT_FROM_STRIPE = {
    "date_purged",
    "djstripe_created",
    "djstripe_owner_account",
    "djstripe_updated",
    "stripe_data",
    "subscriber",
}
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
        *,
        _usage: list[str] | None = None,
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


def _absent(self: StripeModel, *args: Any, **kwargs: Any) -> NoReturn:
    """dj-stripe then leaves the reference empty (djstripe._stripe_errors.object_is_absent)."""
    raise stripe.InvalidRequestError(  # type: ignore[no-untyped-call]
        "No such object in the mirror.", param=None, code="resource_missing"
    )


stripe.default_http_client = Deaf()
stripe.max_network_retries = 0
# The client alone would do; this spares the library's whole way to it for each related object.
StripeModel.api_retrieve = _absent
logging.getLogger("stripe").setLevel(logging.ERROR)


class Mirror:
    """One account's part of dj-stripe's tables."""

    def __init__(self, account: ProviderAccount) -> None:
        self.account = account
        self.problems: list[str] = []

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
        data = {**snapshot.object, AS_OF: snapshot.stamp.json}
        if snapshot.object.get("deleted") or snapshot.event_type in DELETIONS:
            row = model.objects.filter(id=snapshot.id).values_list("stripe_data", flat=True).first()
            # A deleted object keeps what was known of it.
            data = {**data, **(row or {}), "deleted": True, AS_OF: snapshot.stamp.json}
        elif not is_newest and not self._is_news(model, snapshot):
            return
        self._prepare_parents(data)
        if snapshot.kind in PLAIN:
            self._write(model, fit_to_store(data))
        else:
            self._owner_id()
            whole = stripe.convert_to_stripe_object(fit_to_store(data))
            model.sync_from_stripe_data(whole, api_key=placeholder_key(self.account))

    def _is_news(self, model: type[StripeModel], snapshot: Snapshot) -> bool:
        row = (
            model.objects.filter(id=snapshot.id)
            .values_list(f"stripe_data__{AS_OF}", "stripe_data__deleted")
            .first()
        )
        if row is None:
            return True
        stored, is_deleted = row[0] or [0, 0], row[1]
        as_of, is_first_word = snapshot.stamp.json, snapshot.event_type.endswith(".created")
        return not is_deleted and (stored < as_of or (stored == as_of and not is_first_word))

    def _prepare_parents(self, data: Json) -> None:
        """Make bare rows where dj-stripe insists on a parent that no event has brought yet."""
        for name, model in PARENTS.get(data.get("object", ""), {}).items():
            key = id_of(data.get(name))
            if key and not model.objects.filter(id=key).exists():
                self._write(model, {"id": key, "object": model.stripe_class.OBJECT_NAME})
        if data.get("object") == "subscription":
            for item in (data.get("items") or {}).get("data", ()):
                self._prepare_parents({"object": "price", **(item.get("price") or {})})

    def _write(self, model: type[StripeModel], data: Json) -> None:
        """One row by dj-stripe's field definitions; a reference only where it leads somewhere."""
        plain, references = fields_of(cast("Hashable", model))
        values: Json = {field.name: _value(field, data) for field in plain}
        keys = {
            field.attname: (field.related_model, id_of(data.get(field.name)))
            for field in references
        }
        owner = placeholder_account(self.account)
        found = _existing([*keys.values(), (models.Account, owner)])
        if (models.Account, owner) not in found:
            self._make_owner(owner)
        values |= {
            name: key if (parent, key) in found else None for name, (parent, key) in keys.items()
        }
        if values.get("livemode") is None:
            values["livemode"] = self.account.livemode
        row = model(stripe_data=data, djstripe_owner_account_id=owner, **values)
        insert_once(row, ("id",), _update_clause(cast("Hashable", model)))

    def _owner_id(self) -> str:
        """The account's row and its placeholder key, for what dj-stripe does itself."""
        owner = placeholder_account(self.account)
        key = placeholder_key(self.account)
        if not models.APIKey.objects.filter(secret=key, djstripe_owner_account=owner).exists():
            self._make_owner(owner)
            models.APIKey.objects.update_or_create(
                secret=key,
                defaults={
                    "type": enums.APIKeyType.secret,
                    "livemode": self.account.livemode,
                    "name": f"No key: stands for {self.account.slug}"[:100],
                    "djstripe_owner_account_id": owner,
                },
            )
        return owner

    def _make_owner(self, owner: str) -> None:
        models.Account.objects.get_or_create(
            id=owner,
            defaults={
                "livemode": self.account.livemode,
                "stripe_data": {
                    "id": owner,
                    "object": "account",
                    "business_profile": {"name": self.account.label},
                },
            },
        )


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
    """The account's id, or a stand-in where the key may not see it (restricted keys may not)."""
    return account.external_id or f"acct_unknown{sha256(str(account.pk).encode()).hexdigest()[:12]}"


def fit_to_store(data: Json) -> Json:
    """A deep copy that dj-stripe may change, without NULs and card numbers."""
    body = orjson.dumps(data)
    copy: Json = orjson.loads(body)
    if b"\\u0000" in body or may_hold_card_number(body):
        copy = _scrubbed(copy)
    return copy


@cache
def fields_of(model: Any) -> tuple[list[Any], list[Any]]:
    """(columns, references) of a mirrored model that are filled from the object."""
    fields = [
        field for field in model._meta.local_concrete_fields if field.name not in NOT_FROM_STRIPE
    ]
    plain = [field for field in fields if not field.is_relation and not field.primary_key]
    return plain, [field for field in fields if isinstance(field, StripeForeignKey)]


def _value(field: Any, data: Json) -> Any:
    """As StripeModel._stripe_object_to_record has it; a bare parent gets zeros."""
    value = field.stripe_to_db(data) if hasattr(field, "stripe_to_db") else data.get(field.name)
    if value is not None:
        return value
    if isinstance(field, (columns.CharField, columns.TextField)):
        return ""
    if field.null:
        return None
    return False if isinstance(field, columns.BooleanField) else 0


def _existing(wanted: list[tuple[Any, str]]) -> set[tuple[Any, str]]:
    """Those of (model, id) that have a row: one question for all of them."""
    asked = [pair for pair in wanted if pair[1]]
    tables = [connection.ops.quote_name(model._meta.db_table) for model, _ in asked]
    questions = [f"EXISTS(SELECT 1 FROM {table} WHERE id = %s)" for table in tables]  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(questions)}", [key for _, key in asked])
        answers = cursor.fetchone()
    return {pair for pair, answer in zip(asked, answers, strict=True) if answer}


@cache
def _update_clause(model: Any) -> str:
    plain, references = fields_of(model)
    names = ["stripe_data", "djstripe_updated", "djstripe_owner_account_id"]
    names += [field.column for field in (*plain, *references) if field.name != "id"]
    quoted = [connection.ops.quote_name(name) for name in names]
    return "UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in quoted)


def _scrubbed(value: Any) -> Any:
    if isinstance(value, str):
        return without_card_numbers(value.replace("\x00", ""))
    if isinstance(value, dict):
        return {_scrubbed(key): _scrubbed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_scrubbed(item) for item in value]
    return value
