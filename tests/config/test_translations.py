"""The house speaks Polish: whole catalogues, and pages without a word of English."""

from __future__ import annotations

import ast
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qsl, urljoin, urlsplit

import pytest
import unfold
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po
from django.conf import settings
from django.contrib import admin
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import trans_real
from django.utils.translation.template import templatize

from config.setup import one_time_setup_url
from crm_sync.causes import CAUSES
from crm_sync.connectors import CONNECTORS
from crm_sync.models import Attempt, BulkRetry, Connection, Delivery
from payments import audit
from payments.models import (
    Dispute,
    Heartbeat,
    InboundWebhook,
    Payment,
    Payout,
    ProviderInvoice,
)
from payments.provider_words import DISPUTE_STATES, LEDGER_KINDS, REASONS
from tests.admin_people import log_in
from tests.factories import (
    NOON,
    ConnectionFactory,
    CustomerIdentityFactory,
    DeliveryFactory,
    FieldMappingFactory,
    InboundWebhookFactory,
    PaymentFactory,
    ProviderAccountFactory,
    RefundFactory,
    SubscriptionFactory,
)

CATALOGUES = [Path(folder) / "pl" / "LC_MESSAGES" / "django.po" for folder in settings.LOCALE_PATHS]
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%[sd]|\{\w*\}")
PARTS_OF_UNFOLD = ("templates", "contrib/filters", "contrib/forms")

# English words that no Polish sentence holds, and no brand, name or code of ours either.
ENGLISH = re.compile(
    r"\b(?:the|and|of|is|are|was|were|be|been|has|have|had|with|without|this|that|these|those|you|"
    r"your|for|from|it|its|not|nothing|never|all|any|each|every|by itself|when|where|what|who|why|"
    r"how|here|there|yes|can|may|will|more|last|first|next|previous|back|"
    r"account|accounts|add|address|amount|answer|attempt|cancel|cause|change|changed|choose|clear|"
    r"connection|connections|country|created|currency|customer|customers|date|delete|deliveries|"
    r"delivered|delivery|description|details|dispute|disputed|disputes|edit|enabled|failed|failure|"
    r"failures|fee|filter|filters|history|home|ignore|ignored|invoice|invoices|key|keys|language|"
    r"live|log in|message|messages|mapping|method|missing|name|needs|newest|number|open|page|paid|"
    r"password|pause|paused|payer|payment|payments|payout|payouts|people|period|product|provider|"
    r"reason|received|record|refund|refunded|refunds|remove|required|resume|retry|retried|"
    r"roles|save|search|secret|select|selected|send|sent|show|skip|stage|started|state|stored|"
    r"submit|subscription|subscriptions|system said|today|took|tries|try|user|users|value|view|"
    r"wait|waiting|waits|welcome|worker|working|month|months|day|days|year|week)\b",
    re.IGNORECASE,
)
# What stays as it is: addresses, codes with dots or underscores, files, foreign menus by name, and
# samples of raw data.
RAW = re.compile(
    r"manage\.py \w+|Settings, Integrations, Service keys|Developers, Webhooks|"
    r"\((?:(?:client|refresh) \w+|month|Your card has insufficient funds\.)\)|"
    r"\S*[@/]\S*|\S*\w[._:]\w\S*|\{[^}]*\}"
)


def _messages(path: Path) -> list:
    with path.open("rb") as file:
        return [message for message in read_po(file, locale="pl") if message.id]


def _forms(message) -> tuple[str, ...]:
    return tuple(message.string) if message.pluralizable else (message.string,)


def _key_of(message) -> tuple[str | None, str]:
    # Babel leaves the contexts of a compiled catalogue undecoded.
    context = message.context.decode() if isinstance(message.context, bytes) else message.context
    return context, message.id[0] if message.pluralizable else message.id


@pytest.mark.parametrize("catalogue", CATALOGUES, ids=lambda path: path.parents[2].name)
class TestCatalogue:
    def test_every_text_is_translated_for_certain(self, catalogue):
        unfinished = [m.id for m in _messages(catalogue) if m.fuzzy or not all(_forms(m))]

        assert not unfinished

    def test_every_plural_has_its_four_polish_forms(self, catalogue):
        plural = [message for message in _messages(catalogue) if message.pluralizable]

        assert plural
        assert all(len(message.string) == 4 for message in plural)

    def test_placeholders_are_those_of_the_english_text(self, catalogue):
        wrong = []
        for message in _messages(catalogue):
            english = message.id[1] if message.pluralizable else message.id
            expected = set(PLACEHOLDER.findall(english))
            wrong += [
                form for form in _forms(message) if set(PLACEHOLDER.findall(form)) != expected
            ]

        assert not wrong

    def test_sentences_end_as_the_english_ones_do(self, catalogue):
        wrong = [
            message.id
            for message in _messages(catalogue)
            if not message.pluralizable
            and message.id.rstrip()[-1] in ".?…:"
            and message.id.rstrip()[-1] != message.string.rstrip()[-1]
            and not (message.id.endswith("...") and message.string.endswith("…"))
        ]

        assert not wrong

    def test_the_compiled_file_says_the_same(self, catalogue):
        with catalogue.with_suffix(".mo").open("rb") as file:
            compiled = {_key_of(m): _forms(m) for m in read_mo(file) if m.id}

        written = {_key_of(m): _forms(m) for m in _messages(catalogue)}
        assert compiled == written


@pytest.mark.parametrize(
    ("number", "said"), [(1, "1 przekazanie"), (3, "3 przekazania"), (12, "12 przekazań")]
)
def test_polish_counts_deliveries_as_poles_do(number, said):
    with translation.override("pl"):
        text = translation.ngettext("%(count)s delivery", "%(count)s deliveries", number)

    assert text % {"count": number} == said


def _texts_of_unfold() -> set[str]:
    """Every text that Unfold marks for translation in the parts that we use."""
    root = Path(unfold.__file__).parent
    found: set[str] = set()
    for part in PARTS_OF_UNFOLD:
        for template in (root / part).rglob("*.html"):
            marked = templatize(template.read_text(encoding="utf-8"), origin=str(template))
            for line in re.finditer(r"\b(?:n?gettext|_)\(u?('(?:[^'\\]|\\.)*')", marked):
                found.add(ast.literal_eval(line[1]))
    for module in root.glob("*.py"):
        for call in re.finditer(r"\b_\(\s*(\"[^\"\n]+\")\s*\)", module.read_text(encoding="utf-8")):
            found.add(ast.literal_eval(call[1]))
    return found


def test_every_text_of_unfold_is_known_in_polish():
    known = vars(trans_real.translation("pl"))["_catalog"]

    unknown = {text for text in _texts_of_unfold() if text not in known and (text, 0) not in known}

    assert not unknown


@pytest.mark.parametrize("cause", CAUSES)
def test_every_cause_of_a_failure_is_told_in_polish(cause):
    known = CAUSES[cause]
    with translation.override("pl"):
        said = " ".join(map(str, (known.title, known.explanation, known.next_step)))

    assert _english(said) == set()


@pytest.mark.parametrize("words", [REASONS, DISPUTE_STATES, LEDGER_KINDS])
def test_the_codes_of_providers_have_polish_words(words):
    with translation.override("pl"):
        said = ". ".join(map(str, words.values()))

    assert _english(said) == set()


class _Visible(HTMLParser):
    """The texts that somebody sees or hears; icons, code, raw data and scripts left out."""

    SILENT = frozenset({"script", "style", "svg", "template", "code", "pre", "kbd", "textarea"})
    VOID = frozenset({"input", "br", "img", "link", "meta", "hr", "source", "wbr"})

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.links: set[str] = set()
        self._open: list[tuple[str, bool]] = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        spoken = ("aria-label", "title", "placeholder", "alt", "data-confirm", "data-label")
        self.texts += [given[name] or "" for name in spoken if name in given]
        if tag == "a" and given.get("href"):
            self.links.add(given["href"])
        if tag in self.VOID:
            return
        is_icon = "material-symbols-outlined" in (given.get("class") or "")
        is_foreign = (given.get("lang") or "pl") != "pl" and tag != "html"
        self._open.append((tag, tag in self.SILENT or is_icon or is_foreign))

    def handle_endtag(self, tag):
        while self._open:
            name, _is_silent = self._open.pop()
            if name == tag:
                return

    def handle_data(self, data):
        if data.strip() and not any(is_silent for _tag, is_silent in self._open):
            self.texts.append(data.strip())


def _english(text: str) -> set[str]:
    return {word.lower() for word in ENGLISH.findall(RAW.sub(" ", text))}


def _read(answer) -> _Visible:
    seen = _Visible()
    seen.feed(answer.content.decode())
    return seen


def _told_in_english(seen: _Visible) -> list[str]:
    return [text for text in seen.texts if _english(text)]


@pytest.fixture
def polish(client):
    client.cookies[settings.LANGUAGE_COOKIE_NAME] = "pl"
    return client


def _anna_and_all_that_can_happen() -> None:
    """Anna pays 249 zł, and everything that can happen to a payment happens to hers."""
    account = ProviderAccountFactory(label="Sklep")
    payment = PaymentFactory(account=account, net_minor=24_000, fee_minor=900)
    CustomerIdentityFactory(customer=payment.customer, account=account)
    SubscriptionFactory(account=account, customer=payment.customer)
    for status in Payment.Status.values:
        PaymentFactory(account=account, customer=payment.customer, status=status)
    RefundFactory(payment=payment, reason="requested_by_customer")
    same = {"account": account, "livemode": False, "currency": "PLN", "created_at": NOON}
    for status in DISPUTE_STATES:
        Dispute.objects.create(
            **same,
            external_id=f"dp_{status}",
            payment=payment,
            amount_minor=24_900,
            status=status,
            reason="fraudulent",
        )
    for status in Payout.Status.values:
        Payout.objects.create(
            **same, external_id=f"po_{status}", amount_minor=24_900, status=status, arrives_on=NOON
        )
    for status in ProviderInvoice.Status.values:
        ProviderInvoice.objects.create(
            **same,
            external_id=f"in_{status}",
            customer=payment.customer,
            status=status,
            amount_due_minor=24_900,
            amount_paid_minor=0,
            amount_remaining_minor=24_900,
        )
    for state in InboundWebhook.State.values:
        InboundWebhookFactory(account=account, state=state, problem="")
    hubspot = ConnectionFactory(label="HubSpot", paused_reason="authorisation")
    mail = ConnectionFactory(label="Poczta", connector="email", secrets={}, is_enabled=False)
    FieldMappingFactory(connection=hubspot, target_field="etap")
    for state in Delivery.State.values:
        delivery = DeliveryFactory(
            connection=hubspot,
            payment=payment,
            state=state,
            cause="access_refused",
            effect_key=state,
            order_key=state,
            failed_at=NOON,
            problem="",
        )
        Attempt.objects.create(
            delivery=delivery,
            number=1,
            outcome="rejected",
            cause="access_refused",
            started_at=NOON,
            duration_ms=1_200,
        )
    DeliveryFactory(
        connection=mail,
        payment=payment,
        kind="message",
        purpose="receipt",
        state="unsure",
        cause="message_unsure",
        effect_key="receipt",
        failed_at=NOON,
    )
    Heartbeat.objects.create(name="worker", beat_at=NOON)
    audit.note(None, "connection.paused", hubspot)


def _key(address: str) -> tuple[str, tuple[str, ...]]:
    """Pages that differ in a number or in a value alone are one page to read."""
    parts = urlsplit(address)
    return re.sub(r"\d+", "0", parts.path), tuple(sorted({k for k, _v in parse_qsl(parts.query)}))


@pytest.mark.django_db
def test_no_page_of_the_admin_says_a_word_of_english(polish):
    _anna_and_all_that_can_happen()
    sam = log_in(polish)
    BulkRetry.objects.create(asked_by=sam, planned=3, released=1)
    starts = [reverse("admin:index"), reverse("admin:password_change")]
    starts += [
        reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}")
        for model in admin.site._registry
        for page in ("changelist", "add")
    ]
    starts += [
        reverse("admin:crm_sync_delivery_change", args=(delivery.pk,))
        for delivery in Delivery.objects.all()
    ]
    starts += [
        reverse(f"admin:crm_sync_connection_{page}", args=(connection.pk,))
        for connection in Connection.objects.all()
        for page in ("change", "delete")
    ]
    starts += [
        f"{reverse('admin:crm_sync_connection_add')}?connector={name}" for name in CONNECTORS
    ]
    starts.append(reverse("admin:crm_sync_bulk_retry", args=(BulkRetry.objects.get().pk,)))
    waiting, known, english = list(starts), set(), {}

    while waiting:
        address = waiting.pop(0)
        is_start = address in starts and address not in known
        if _key(address) in known and not is_start:
            continue
        known |= {address, _key(address)}
        answer = polish.get(address, follow=True)
        if answer.status_code == 403:
            continue
        assert answer.status_code == 200, address
        if "text/html" not in answer["Content-Type"]:
            continue
        seen = _read(answer)
        if found := _told_in_english(seen):
            english[address] = found
        for link in seen.links:
            there = urljoin(address, link)
            is_ours = there.startswith("/admin/") and "logout" not in there
            if is_ours and not re.search(r"[?&](o|_\w+|p)=", there):
                waiting.append(there)

    assert english == {}
    assert len(known) > 120


@pytest.mark.django_db
def test_the_first_pages_of_a_fresh_house_are_polish(polish):
    link = one_time_setup_url()

    pages = [polish.get(link), polish.post(link, {"username": ""})]
    pages += [polish.get("/setup/used-up/"), polish.get(reverse("admin:login"))]
    pages.append(polish.post(reverse("admin:login"), {"username": "anna", "password": "x"}))

    assert [page.status_code for page in pages] == [200, 200, 404, 200, 200]
    assert [_told_in_english(_read(page)) for page in pages] == [[]] * 5


@pytest.mark.django_db
def test_who_is_locked_out_is_told_in_polish(polish, settings):
    settings.AXES_FAILURE_LIMIT = 1

    for _try in range(2):
        answer = polish.post(reverse("admin:login"), {"username": "anna", "password": "x"})

    assert answer.status_code == 429
    assert "Proszę chwilę zaczekać" in answer.content.decode()
    assert _told_in_english(_read(answer)) == []


@pytest.mark.django_db
def test_money_days_and_times_are_written_as_poles_write_them(polish):
    sam = log_in(polish)
    sam.last_login = NOON
    sam.save()
    payment = PaymentFactory()

    payments = polish.get(reverse("admin:payments_payment_changelist")).content.decode()
    page = polish.get(reverse("admin:payments_payment_change", args=(payment.pk,)))
    person = polish.get(reverse("admin:auth_user_change", args=(sam.pk,))).content.decode()

    assert "249,00\xa0zł" in payments
    assert "20\xa0lis\xa02026,\xa013:00" in payments
    assert "249,00\xa0zł" in page.content.decode()
    assert "20 listopada 2026 13:00" in person
    assert timezone.get_current_timezone_name() == "Europe/Warsaw"


def test_english_words_are_found_where_they_are():
    seen = _Visible()
    seen.feed(
        '<p title="Close the page">Zapisz <code>the</code></p><input placeholder="Search">'
        '<span class="material-symbols-outlined">search</span><p>Payment of Anna</p>'
    )

    assert _told_in_english(seen) == ["Close the page", "Search", "Payment of Anna"]
