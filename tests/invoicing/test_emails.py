"""What letters say: true, in the reader's language, and never in a stranger's hands."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest
from django.urls import reverse
from django.utils import timezone

from invoicing import emails
from invoicing.declines import EXPLANATIONS, SAME_AS, explain
from payments.models import ProviderInvoice
from tests.factories import (
    CustomerFactory,
    PaymentFactory,
    ProviderAccountFactory,
    SubscriptionFactory,
)

pytestmark = pytest.mark.django_db

SHOP = emails.Sender("Integrafy Sp. z o.o.", "biuro@example.com")


def anna_pays(**facts):
    """Anna pays 249 zł for the automation package."""
    facts.setdefault("account", ProviderAccountFactory(livemode=True, label="Stripe PL"))
    facts.setdefault("product_name", "Pakiet Automatyzacji CRM")
    return PaymentFactory(**facts)


def an_invoice(payment, **facts):
    payment.invoice = ProviderInvoice(
        account=payment.account,
        external_id="in_1",
        livemode=True,
        amount_due_minor=24900,
        amount_paid_minor=24900,
        amount_remaining_minor=0,
        currency="PLN",
        created_at=timezone.now(),
        **{"status": "paid", "number": "A-0012", **facts},
    )
    return payment


class Reader(HTMLParser):
    """What a mail program makes of the HTML: tags, links, and the words a person sees."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.words: list[str] = []
        self._silent = 0
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value for name, value in attrs if name in ("href", "src", "background")]
        self._silent += tag in ("style", "title")

    def handle_endtag(self, tag):
        self._silent -= tag in ("style", "title")

    def handle_data(self, data):
        if not self._silent:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


# --- The receipt --------------------------------------------------------------------------------


def test_the_receipt_says_what_the_customer_expects_to_read_in_polish():
    letter = emails.receipt(anna_pays(), SHOP)
    assert letter.language == "pl"
    assert letter.subject == "Potwierdzenie płatności: 249,00 zł – Pakiet Automatyzacji CRM"
    assert letter.text.startswith(
        "Dziękujemy za dokonanie płatności!\n"
        "Otrzymaliśmy Twoją wpłatę 249 zł za ‘Pakiet Automatyzacji CRM’.\n"
    )
    seen = Reader(letter.html).text
    assert "Dziękujemy za dokonanie płatności!" in seen
    assert "Otrzymaliśmy Twoją wpłatę 249 zł za ‘ Pakiet Automatyzacji CRM ’." in seen


def test_the_receipt_mentions_an_invoice_by_mail_only_when_one_was_sent():
    payment = anna_pays()
    with_invoice = emails.receipt(payment, SHOP, invoice_was_sent=True)
    assert with_invoice.text.startswith(
        "Dziękujemy za dokonanie płatności!\n"
        "Otrzymaliśmy Twoją wpłatę 249 zł za ‘Pakiet Automatyzacji CRM’.\n"
        "Faktura została wysłana na Twój adres e-mail.\n"
    )
    assert "Faktura została wysłana na Twój adres e-mail." in Reader(with_invoice.html).text
    without = emails.receipt(payment, SHOP)
    assert "aktur" not in without.text
    assert "aktur" not in without.html


def test_the_receipt_names_amount_product_date_method_and_number():
    payment = anna_pays(external_id="pi_3QxAnna", method="Apple Pay")
    text = emails.receipt(payment, SHOP).text
    for line in (
        "Kwota: 249,00 zł",
        "Produkt: Pakiet Automatyzacji CRM",
        "Data: 20 listopada 2026, 13:00",
        "Metoda płatności: Apple Pay",
        "Numer płatności: pi_3QxAnna",
    ):
        assert line in text.splitlines()
    assert "biuro@example.com" in text
    assert "Nie musisz nic więcej robić" in text


def test_an_english_customer_reads_english():
    letter = emails.receipt(anna_pays(language="en"), SHOP)
    assert letter.subject == "Payment received: PLN 249.00 – Pakiet Automatyzacji CRM"
    assert letter.text.startswith(
        "Thank you for your payment!\n"
        "We have received your payment of PLN 249 for ‘Pakiet Automatyzacji CRM’.\n"
    )
    assert "Date: 20 November 2026, 13:00 CET" in letter.text
    assert not any(letter_ in letter.text for letter_ in "ąćęłńóśźż")
    assert '<html lang="en"' in letter.html


@pytest.mark.parametrize(
    ("payment", "customer", "account", "spoken"),
    [
        ("pl", "en", "en", "pl"),
        ("pl-PL", "", "en", "pl"),
        ("", "pl", "en", "pl"),
        ("auto", "", "pl", "pl"),
        ("", "", "pl", "pl"),
        ("", "", "en", "en"),
        ("en_GB", "pl", "pl", "en"),
        ("de", "pl", "pl", "en"),
    ],
)
def test_the_language_is_the_payments_then_the_customers_then_the_accounts(
    payment, customer, account, spoken
):
    paid = anna_pays(
        account=ProviderAccountFactory(language=account),
        customer=CustomerFactory(language=customer),
        language=payment,
    )
    assert emails.language_of(paid) == spoken


@pytest.mark.parametrize(
    ("minor", "currency", "in_sentence", "in_list"),
    [
        (24900, "PLN", "249 zł", "249,00 zł"),
        (24950, "PLN", "249,50 zł", "249,50 zł"),
        (5000, "JPY", "5 000 JPY", "5 000 JPY"),
        (12345, "KWD", "12,345 KWD", "12,345 KWD"),
    ],
)
def test_amounts_are_written_as_people_write_them(minor, currency, in_sentence, in_list):
    text = emails.receipt(anna_pays(amount_minor=minor, currency=currency), SHOP).text
    assert f"wpłatę {in_sentence} za" in text
    assert f"Kwota: {in_list}\n" in text


def test_the_date_is_that_of_the_sellers_time_zone():
    shop = ProviderAccountFactory(time_zone="America/New_York")
    payment = anna_pays(account=shop, paid_at=datetime(2026, 11, 21, 3, 30, tzinfo=UTC))
    assert "Data: 20 listopada 2026, 22:30" in emails.receipt(payment, SHOP).text


def test_the_receipt_links_to_the_providers_invoice_and_receipt():
    payment = anna_pays(receipt_url="https://pay.stripe.com/receipts/abc")
    an_invoice(payment, hosted_url="https://invoice.stripe.com/i/acct_1/test_x")
    letter = emails.receipt(payment, SHOP)
    assert "Faktura A-0012: https://invoice.stripe.com/i/acct_1/test_x" in letter.text
    assert "https://pay.stripe.com/receipts/abc" in letter.text
    assert Reader(letter.html).links == [
        "https://invoice.stripe.com/i/acct_1/test_x",
        "https://pay.stripe.com/receipts/abc",
        "mailto:biuro@example.com",
    ]


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:x",
        "http://pay.stripe.com/receipts/abc",
        "//evil.example/x",
        "https://",
        "https://stripe.com@evil.example/",
        "https://evil.example/\r\nBcc: all@example.com",
        'https://evil.example/" onclick="alert(1)',
        "https://evil.example/ x",
        "https://еvil.example/",
        "https://[::1",
        " https://evil.example/",
        "file:///etc/passwd",
    ],
)
def test_no_address_but_a_plain_https_one_becomes_a_link(url):
    payment = anna_pays(receipt_url=url)
    letter = emails.receipt(payment, SHOP)
    assert Reader(letter.html).links == ["mailto:biuro@example.com"]
    assert "evil" not in letter.text
    assert emails.safe_link(url) == ""


def test_the_receipt_says_when_the_subscription_is_charged_next():
    end = timezone.now() + timedelta(days=30)
    payment = anna_pays(subscription=SubscriptionFactory(current_period_end_at=end))
    text = emails.receipt(payment, SHOP).text
    assert "To płatność za subskrypcję; następna zostanie pobrana automatycznie" in text
    assert str(end.year) in text.split("automatycznie")[1]


def test_the_receipt_announces_no_charge_for_a_subscription_that_ends():
    end = timezone.now() + timedelta(days=30)
    ending = SubscriptionFactory(current_period_end_at=end, cancels_at_period_end=True)
    text = emails.receipt(anna_pays(subscription=ending), SHOP).text
    assert "Subskrypcja kończy się" in text
    assert "automatycznie" not in text.split("CO DALEJ?")[1].split("Masz pytania?")[0]


def test_the_receipt_announces_no_charge_on_a_day_that_has_passed():
    past = SubscriptionFactory(current_period_end_at=timezone.now() - timedelta(hours=1))
    text = emails.receipt(anna_pays(subscription=past), SHOP).text
    assert "zostanie pobrana" not in text
    assert "Zachowaj tę wiadomość" in text


def test_the_receipt_of_a_payment_partly_refunded_meanwhile_says_so():
    text = emails.receipt(anna_pays(amount_refunded_minor=4900), SHOP).text
    assert "Zwrócono: 49,00 zł" in text


def test_letters_about_test_payments_say_that_they_are_tests():
    payment = anna_pays(account=ProviderAccountFactory(livemode=False))
    for letter in (
        emails.receipt(payment, SHOP),
        emails.new_payment_notice(payment, SHOP, "pl"),
        emails.failed_payment_notice(payment, SHOP, "pl"),
    ):
        assert letter.subject.startswith("[TEST] ")
        assert "płatność testowa" in letter.text
        assert "płatność testowa" in Reader(letter.html).text


def test_a_payment_without_a_product_name_still_makes_whole_sentences():
    payment = anna_pays(product_name="", description="")
    letter = emails.receipt(payment, SHOP)
    assert letter.subject == "Potwierdzenie płatności: 249,00 zł"
    assert "Otrzymaliśmy Twoją wpłatę 249 zł.\n" in letter.text
    assert "Produkt" not in letter.text


def test_an_address_corrected_here_counts_more_than_the_providers():
    anna = CustomerFactory(email="anna@example.com")
    payment = anna_pays(customer=anna, email="anna@exampel.com")
    assert emails.address_of(payment) == "anna@exampel.com"
    anna.email_corrected_at = timezone.now()
    assert emails.address_of(payment) == "anna@example.com"


# --- Notices to the team ------------------------------------------------------------------------


def test_the_team_reads_who_paid_how_much_for_what_and_where_to_look():
    payment = anna_pays()
    letter = emails.new_payment_notice(payment, SHOP, "pl")
    assert letter.subject == "Nowa wpłata: 249,00 zł – Pakiet Automatyzacji CRM (Anna Nowak)"
    page = "http://127.0.0.1:8000" + reverse("admin:payments_payment_change", args=(payment.pk,))
    for line in (
        "Klient: Anna Nowak",
        f"E-mail: {payment.email}",
        "Produkt: Pakiet Automatyzacji CRM",
        "Metoda płatności: Visa 4242",
        "Konto płatności: Stripe PL",
        f"Otwórz płatność: {page}",
    ):
        assert line in letter.text.splitlines()
    assert Reader(letter.html).links == [page]


@pytest.mark.parametrize(
    ("language", "reason", "advice"),
    [
        ("pl", "Na koncie lub karcie zabrakło środków.", "Poproś klienta o inną metodę płatności"),
        ("en", "There was not enough money on the account or card.", "Ask the customer to use"),
    ],
)
def test_the_team_reads_in_words_why_a_payment_failed(language, reason, advice):
    payment = anna_pays(
        status="failed",
        failure_code="insufficient_funds",
        failure_reason="Your card has insufficient funds.",
    )
    letter = emails.failed_payment_notice(payment, SHOP, language)
    for shown in (letter.text, Reader(letter.html).text):
        assert reason in shown
        assert advice in shown
        assert "Your card has insufficient funds." in shown


def test_an_unknown_failure_is_told_in_the_providers_words():
    payment = anna_pays(status="failed", failure_code="brand_new", failure_reason="Bank on fire.")
    text = emails.failed_payment_notice(payment, SHOP, "en").text
    assert "A payment failed: PLN 249.00\n\nBank on fire.\n" in text
    assert "Reason code: brand_new" in text


def test_a_failure_without_any_reason_says_that_there_is_none():
    payment = anna_pays(status="failed", failure_code="", failure_reason="")
    text = emails.failed_payment_notice(payment, SHOP, "en").text
    assert "The payment provider gave no reason." in text


def test_the_team_reads_when_the_provider_tries_again():
    soon = timezone.now() + timedelta(days=3)
    payment = an_invoice(
        anna_pays(status="failed"), status="open", attempt_count=2, next_attempt_at=soon
    )
    text = emails.failed_payment_notice(payment, SHOP, "en").text
    assert "Stripe will try again by itself: " in text
    assert "Tries so far: 2." in text


def test_the_team_reads_that_the_provider_has_given_up():
    payment = an_invoice(anna_pays(status="failed"), status="open", attempt_count=4)
    text = emails.failed_payment_notice(payment, SHOP, "en").text
    assert "Stripe has not planned another try. Tries so far: 4." in text


def test_the_team_reads_that_a_single_payment_is_not_repeated():
    text = emails.failed_payment_notice(anna_pays(status="failed"), SHOP, "pl").text
    assert "To pojedyncza płatność: Stripe sam jej nie ponowi." in text


@pytest.mark.parametrize("code", [*EXPLANATIONS, *SAME_AS])
def test_every_known_failure_is_explained_in_both_languages(code):
    polish, english = explain(code, "pl"), explain(code, "en")
    assert polish.reason.endswith(".")
    assert polish.advice.endswith(".")
    assert polish.reason != english.reason
    assert polish.advice != english.advice


# --- Letters in general -------------------------------------------------------------------------


def every_letter(payment):
    yield emails.receipt(payment, SHOP)
    for language in ("pl", "en"):
        yield emails.new_payment_notice(payment, SHOP, language)
        yield emails.failed_payment_notice(payment, SHOP, language)


def test_a_letter_loads_nothing_from_outside_and_keeps_its_looks_in_the_dark():
    for letter in every_letter(anna_pays()):
        seen = Reader(letter.html)
        assert not {"img", "link", "script", "iframe", "object", "svg"} & set(seen.tags)
        assert "url(" not in letter.html
        assert "@import" not in letter.html
        assert "@media (prefers-color-scheme: dark)" in letter.html
        assert 'content="light dark"' in letter.html
        assert letter.html.count("<style>") == 1
        assert 'style="' in letter.html


def test_the_text_is_a_letter_of_its_own():
    for letter in every_letter(anna_pays(product_name='Kawa & ciastko <b>"XL"</b>')):
        assert "&amp;" not in letter.text
        assert "&lt;" not in letter.text
        assert 'Kawa & ciastko <b>"XL"</b>' in letter.text
        assert "\n\n\n" not in letter.text
        assert letter.text.endswith(".\n")
        assert not letter.text.startswith((" ", "\n"))


PAYLOADS = [
    "<script>alert(1)</script>",
    "</td></table><img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "'><iframe src=//evil.example>",
    '" onmouseover="alert(1)',
    "<a href='javascript:alert(1)'>win</a>",
    "<style>*{display:none}</style>",
    "</style><script>alert(1)</script>",
    "<!--",
    "--><b>x",
    "<![CDATA[<b>x</b>]]>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<base href=https://evil.example/>",
    "<form action=https://evil.example><input name=p>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "{{ sender.contact }}{% include 'emails/style.css' %}",
    "{% load log %}{{ settings.SECRET_KEY }}",
    "Anna\r\nBcc: everybody@example.com",
    "Anna\nSubject: won",
    "Anna\r\n\r\n<html>second body</html>",
    "Anna\u2028Bcc: everybody@example.com",
    "Anna\x0bBcc: x\x0c\x1c\x1d\x1e\x85Bcc: y",
    "Anna\x00\x07\x1b[31m",
    "\u202egnp.exe\u202c invoice",
    "\u2066\u2067\u2068\u2069\u200e\u200f\u061c admin",
    "a\u200bb\u2060c\ufeffd\u00ade",
    "\U000e0041\U000e0042 tags",
    "=?utf-8?q?Bcc=3A_everybody=40example.com?=",
    "\ue000\uf8ff private",
    "x" * 200_000,
    "Z̀́̂̃" * 20_000,
]
FIELDS = [
    "name",
    "product_name",
    "method",
    "failure_reason",
    "failure_code",
    "description",
    "email",
]


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_whatever_a_customer_types_stays_text(payload, settings):
    clean = anna_pays(status="failed", failure_code="odd", failure_reason="No.")
    tags = [Reader(letter.html).tags for letter in every_letter(clean)]
    attributes = [Reader(letter.html).attributes for letter in every_letter(clean)]
    links = [Reader(letter.html).links for letter in every_letter(clean)]
    for field in FIELDS:
        setattr(clean, field, payload)
    for number, letter in enumerate(every_letter(clean)):
        seen = Reader(letter.html)
        assert seen.tags == tags[number]
        assert seen.attributes == attributes[number]
        assert seen.links == links[number]
        assert len(letter.subject.splitlines()) == 1
        assert len(letter.subject) <= 200
        assert len(letter.html) < 40_000
        for part in (letter.subject, letter.text.replace("\n", ""), letter.html.replace("\n", "")):
            hidden = {c for c in part if unicodedata.category(c) in ("Cc", "Cf", "Co", "Cs", "Zl")}
            assert not hidden
        assert settings.SECRET_KEY not in letter.html


def test_names_of_all_the_world_arrive_unharmed():
    for name in (
        "Zażółć Gęślą-Jaźń",
        "محمد بن راشد",
        "שרה כהן",
        "李小龍",
        "👩‍👩‍👧 Rodzina",
        "O'Brien",
    ):
        assert emails.one_line(name) == name
        assert name in emails.new_payment_notice(anna_pays(name=name), SHOP, "pl").text
