"""A believable month of a Polish shop: people, purchases, mishaps. The same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from config.sandbox.stripe.base import Outcome
from config.sandbox.wire import randomness

if TYPE_CHECKING:
    from config.sandbox.stripe.world import Stripe

DAY = 86_400
FIRST_NAMES = [
    "Anna",
    "Piotr",
    "Katarzyna",
    "Tomasz",
    "Małgorzata",
    "Krzysztof",
    "Agnieszka",
    "Paweł",
    "Barbara",
    "Michał",
    "Ewa",
    "Marcin",
    "Zofia",
    "Łukasz",
    "Joanna",
    "Grzegorz",
    "Magdalena",
    "Jakub",
    "Monika",
    "Wojciech",
]
# Family names with the same form for women and men
LAST_NAMES = [
    "Nowak",
    "Wójcik",
    "Mazur",
    "Krawczyk",
    "Kaczmarek",
    "Zając",
    "Król",
    "Wróbel",
    "Stępień",
    "Dudek",
    "Pawlak",
    "Sikora",
    "Baran",
    "Duda",
    "Szewczyk",
    "Pietrzak",
    "Walczak",
    "Michalak",
    "Bąk",
    "Kołodziej",
]
COMPANIES = (
    "Piekarnia Złoty Kłos sp. z o.o.",
    "Studio Jogi Lotos",
    "Warsztat Rowerowy Szprycha",
    "Kancelaria Dębska i Wspólnicy",
    "Drukarnia Żuraw sp. z o.o.",
    "Kwiaciarnia Narcyz",
    "Biuro Rachunkowe Saldo",
    "Szkoła Językowa Papuga S.A.",
)
ABROAD = (
    ("Jürgen Müller", "DE", "de", "eur", "juergen.mueller@example.org"),
    ("Claire Lefèvre", "FR", "fr", "eur", "claire.lefevre@example.com"),
    ("Tomáš Dvořák", "CZ", "cs", "eur", "tomas.dvorak@example.net"),
    ("Saoirse O'Brien", "IE", "en", "eur", "saoirse.obrien@example.com"),
    ("Emily Carter", "US", "en", "usd", "emily.carter@example.com"),
    ("Daniel Reyes", "US", "en", "usd", "daniel.reyes@example.org"),
)
CITIES = (
    ("Warszawa", "00-950"),
    ("Kraków", "30-001"),
    ("Łódź", "90-001"),
    ("Gdańsk", "80-001"),
    ("Wrocław", "50-001"),
)
PRODUCTS = (
    ("Konsultacja podatkowa", 24_900),
    ("Kurs online: Księgowość od zera", 39_900),
    ("E-book „Pierwsza firma”", 4_900),
    ("Warsztat na żywo", 59_900),
    ("Szablony umów", 12_900),
)
PLANS = (("Abonament Start", 4_900), ("Abonament Pro", 9_900), ("Abonament Zespół", 24_900))
METHODS = ("card", "card", "card", "blik", "blik", "blik", "p24", "apple_pay", "google_pay", "link")
ABROAD_METHODS = ("card", "card", "apple_pay", "link")
DECLINES = ("insufficient_funds", "do_not_honor", "expired_card", "generic_decline")
ASCII = str.maketrans("ąćęłńóśźżĄĆĘŁŃÓŚŹŻ", "acelnoszzACELNOSZZ")


@dataclass
class Person:
    name: str
    email: str
    country: str
    locale: str
    currency: str
    address: dict[str, str | None]
    phone: str | None
    tax_ids: list[tuple[str, str]]

    def buys(self, **what: Any) -> Any:
        return {
            "name": self.name,
            "email": self.email,
            "country": self.country,
            "preferred_locales": [self.locale],
            "currency": self.currency,
            "address": self.address,
            "phone": self.phone,
            "tax_ids": self.tax_ids,
            **what,
        }


Scene = tuple[float, Callable[[], Outcome | None]]


class Month:
    def __init__(self, stripe: Stripe, seed: int, until: int, days: int) -> None:
        self.stripe = stripe
        self.rng = randomness(seed)
        self.until = until
        self.start = until - days * DAY
        self.scenes: list[Scene] = []

    def moment(self, first: float = 0.0, last: float = 1.0) -> float:
        """A moment in this part of the month, by day rather than by night."""
        span = self.until - self.start
        at = self.start + span * self.rng.uniform(first, last)
        hour = at % DAY / 3_600
        return (
            at
            if 6 <= hour <= 21
            else min(at - (at % DAY) + self.rng.uniform(8, 20) * 3_600, self.until - 60)
        )

    def at(self, moment: float, scene: Callable[[], Outcome | None]) -> None:
        if self.start <= moment < self.until:
            self.scenes.append((moment, scene))

    def people(self, count: int) -> list[Person]:
        people = [self.pole(number) for number in range(count)]
        for place, (name, country, locale, currency, email) in enumerate(ABROAD):
            if place * 8 + 3 < count:
                people[place * 8 + 3] = Person(
                    name, email, country, locale, currency, {"country": country}, None, []
                )
        return people

    def pole(self, number: int) -> Person:
        first, last = self.rng.choice(FIRST_NAMES), self.rng.choice(LAST_NAMES)
        name = f"{first} {last}"
        box = f"{first}.{last}{number}".translate(ASCII).lower()
        city, postal_code = self.rng.choice(CITIES)
        tax_ids = []
        if number % 6 == 1:
            name = COMPANIES[number // 6 % len(COMPANIES)]
            tax_ids = [("eu_vat", f"PL{nip(self.rng)}")]
        address = {
            "city": city,
            "country": "PL",
            "line1": f"ul. Lipowa {number + 1}",
            "postal_code": postal_code,
        }
        phone = f"+4850{self.rng.randrange(10**7):07d}" if self.rng.random() < 0.4 else None
        domain = self.rng.choice(("example.pl", "example.com", "example.org"))
        return Person(name, f"{box}@{domain}", "PL", "pl", "pln", dict(address), phone, tax_ids)

    def purchases(self, people: list[Person], count: int) -> None:
        for number in range(count):
            person = self.rng.choice(people)
            moment = self.moment()
            method = self.rng.choice(METHODS if person.currency == "pln" else ABROAD_METHODS)
            product, amount = self.rng.choice(PRODUCTS)
            if person.currency != "pln":
                amount //= 4
            via = self.rng.choice(("checkout", "checkout", "payment_link", "payment_intent"))
            what = person.buys(
                product=product,
                amount=amount,
                method=method,
                via=via,
                late_balance=self.rng.random() < 0.3,
            )
            if number == 0:
                what = self.from_japan()
            elif number % 9 == 4:
                what["lines"] = [
                    {"product": product, "amount": amount, "quantity": 1},
                    {
                        "product": "Szablony umów",
                        "amount": 12_900 if person.currency == "pln" else 3_200,
                        "quantity": 2,
                    },
                ]
            self.at(moment, self.purchase(number, moment, what))

    def from_japan(self) -> Any:
        person = Person(
            "Aiko Tanaka", "aiko.tanaka@example.org", "JP", "ja", "jpy", {"country": "JP"}, None, []
        )
        return person.buys(product="Konsultacja podatkowa", amount=9_800, method="card")

    def purchase(self, number: int, moment: float, what: Any) -> Callable[[], Outcome | None]:
        """Most are plain; some are refused, retried, late, canceled, given back or disputed."""
        code = self.rng.choice(DECLINES)
        wait = self.rng.uniform(0.2, 6) * DAY
        part = self.rng.choice((0.25, 0.5, 1.0))

        def plain() -> Outcome:
            paid = self.stripe.pay(**what)
            if number % 12 == 5 and paid.charge:
                self.at(moment + wait, lambda: self.give_back(paid.charge or "", part, number))
            if number == 7 and paid.charge:
                self.dispute(moment, paid.charge)
            return paid

        def refused() -> Outcome:
            failed = self.stripe.fail(decline_code=code, **{**what, "method": "card"})
            if number % 2:
                self.at(moment + 900, lambda: self.stripe.succeed(failed.payment_intent or ""))
            return failed

        def slow() -> Outcome:
            started = self.stripe.start(**{**what, "method": "p24", "via": "checkout"})
            intent = started.payment_intent or ""
            end = self.stripe.decline if number % 3 == 0 else self.stripe.succeed
            self.at(moment + DAY / 2, lambda: end(intent))
            return started

        def given_up() -> Outcome:
            waiting = self.stripe.require_action(**what)
            self.at(
                moment + 3_600,
                lambda: self.stripe.cancel(waiting.payment_intent or "", "abandoned"),
            )
            return waiting

        special = {10: refused, 11: slow, 27: given_up}
        return special.get(number % 37 if number % 37 == 27 else number % 13, plain)

    def give_back(self, charge: str, part: float, number: int) -> Outcome:
        amount = self.stripe.store.need(charge)["amount"]
        return self.stripe.refund(
            charge, max(int(amount * part) // 10 * 10, 1), fails_later=number % 36 == 29
        )

    def dispute(self, moment: float, charge: str) -> None:
        def opened() -> Outcome:
            outcome = self.stripe.open_dispute(charge)
            dispute = outcome.dispute or ""
            self.at(moment + 6 * DAY, lambda: self.stripe.answer_dispute(dispute))
            self.at(moment + 12 * DAY, lambda: self.stripe.close_dispute(dispute, won=True))
            return outcome

        self.at(moment + 2 * DAY, opened)

    def subscriptions(self, people: list[Person]) -> None:
        for number, person in enumerate(people[::4]):
            plan, amount = PLANS[number % len(PLANS)]
            if person.currency != "pln":
                amount //= 4
            interval = "week" if number % 3 == 0 else "month"
            moment = self.moment(0.0, 0.4)
            what = person.buys(product=plan, amount=amount, via="checkout")
            trial = 14 if number % 5 == 2 else 0
            self.at(moment, self.subscription(number, moment, what, interval, trial))

    def subscription(
        self, number: int, moment: float, what: Any, interval: str, trial: int
    ) -> Callable[[], Outcome | None]:
        def begun() -> Outcome:
            outcome = self.stripe.subscribe(interval=interval, trial_days=trial, **what)
            key = outcome.subscription or ""
            step = (7 if interval == "week" else 30) * DAY
            first = moment + (trial * DAY or step)
            for turn in range(4):
                due = first + turn * step
                self.at(due, partial(self.turn, number, turn, key, due))
            if number % 7 == 4:
                self.at(moment + 5 * DAY, lambda: self.changed(key))
            if number % 7 == 5:
                self.at(
                    moment + 9 * DAY,
                    lambda: self.stripe.cancel_subscription(key, at_period_end=number % 2 == 0),
                )
            return outcome

        return begun

    def turn(self, number: int, turn: int, key: str, moment: float) -> Outcome | None:
        row = self.stripe.store.need(key)
        if row["status"] not in ("active", "trialing"):
            return None
        if number % 4 == 3 and turn == 1:
            self.at(moment + 3 * DAY, lambda: self.recovered(key))
            return self.stripe.renewal_fails(key)
        return self.stripe.renew(key)

    def recovered(self, key: str) -> Outcome | None:
        past_due = self.stripe.store.need(key)["status"] == "past_due"
        return self.stripe.recover(key) if past_due else None

    def changed(self, key: str) -> Outcome | None:
        row = self.stripe.store.need(key)
        if row["status"] != "active":
            return None
        price = row["items"]["data"][0]["price"]
        return self.stripe.change_plan(
            key,
            product="Abonament Zespół",
            amount=price["unit_amount"] * 2,
            interval=price["recurring"]["interval"],
        )

    def invoices(self, people: list[Person]) -> None:
        companies = [person for person in people if person.tax_ids]
        for number, person in enumerate(companies):
            moment = self.moment(0.1, 0.6)
            what = person.buys(
                product="Obsługa księgowa", amount=150_000, description="Usługi za miesiąc"
            )
            self.at(moment, self.invoice(number, moment, what))

    def invoice(self, number: int, moment: float, what: Any) -> Callable[[], Outcome | None]:
        def sent() -> Outcome:
            outcome = self.stripe.send_invoice(days_until_due=7, **what)
            key = outcome.invoice or ""
            if number % 4 < 2:
                self.at(moment + 3 * DAY, lambda: self.stripe.pay_invoice(key))
            else:
                self.at(moment + 7 * DAY, lambda: self.stripe.overdue(key))
                end = (
                    self.stripe.void_invoice if number % 4 == 2 else self.stripe.mark_uncollectible
                )
                self.at(moment + 10 * DAY, lambda: end(key))
            return outcome

        return sent

    def payouts(self) -> None:
        monday = self.start - self.start % DAY + 6 * 3_600
        for day in range((self.until - self.start) // DAY + 1):
            moment = monday + day * DAY
            if (moment // DAY + 3) % 7 == 0:
                for currency in self.stripe.balances:
                    self.at(moment, partial(self.paid_out, currency))

    def paid_out(self, currency: str) -> Outcome:
        sent = self.stripe.payout(currency, ends="created", only_available=True)
        if sent.payout:
            payout = sent.payout
            self.at(self.stripe.now() + DAY, lambda: self.stripe.arrive(payout))
        return sent

    def tell(self) -> list[Outcome]:
        """Play the scenes in order of time; a scene may bring later ones with it."""
        outcomes = []
        while self.scenes:
            self.scenes.sort(key=lambda scene: scene[0], reverse=True)
            moment, scene = self.scenes.pop()
            with self.stripe.clock.at(moment):
                outcome = scene()
            if outcome:
                outcomes.append(outcome)
        return outcomes


def tell_month(
    stripe: Stripe,
    seed: int,
    *,
    customers: int,
    payments: int,
    until: int,
    days: int,
    webhooks: bool,
) -> list[Outcome]:
    """Ids come from the seed too, so that the same month looks the same twice."""
    month = Month(stripe, seed, until, days)
    people = month.people(customers)
    month.subscriptions(people)
    month.invoices(people)
    month.purchases(people, payments)
    month.payouts()
    with stripe.lock:
        before, stripe.rng = stripe.rng, randomness(seed)
        try:
            if webhooks:
                return month.tell()
            with stripe.quietly():
                return month.tell()
        finally:
            stripe.rng = before


def nip(rng: random.Random) -> str:
    """A Polish tax number with a right check digit."""
    weights = (6, 5, 7, 2, 3, 4, 5, 6, 7)
    while True:
        digits = [rng.randrange(1, 10) for _ in weights]
        check = sum(weight * digit for weight, digit in zip(weights, digits, strict=True)) % 11
        if check < 10:
            return "".join(str(digit) for digit in (*digits, check))
