"""Text from outside becomes fit to be kept."""

from __future__ import annotations

import unicodedata

import pytest

from payments.texts import clean, clean_email, clean_metadata, clean_url


def test_control_characters_and_reversed_writing_are_taken_out():
    assert clean("An\x00na\x07 \u202egnp.exe\u2066 Nowak\u200f\n\tx", 100) == "Anna gnp.exe Nowak x"


def test_the_same_name_is_the_same_text():
    assert clean(unicodedata.normalize("NFD", "Żółć"), 10) == unicodedata.normalize("NFC", "Żółć")


def test_text_is_cut_to_its_column():
    assert clean("ż" * 1000, 255) == "ż" * 255


@pytest.mark.parametrize("value", [None, 7, [], {"a": 1}, ""])
def test_what_is_no_text_is_empty(value):
    assert clean(value, 10) == ""


@pytest.mark.parametrize(
    "number", ["4242424242424242", "4242 4242 4242 4242", "4242-4242-4242-4242", "378282246310005"]
)
def test_a_card_number_keeps_its_last_four_digits_only(number):
    digits = number.replace(" ", "").replace("-", "")
    assert clean(f"karta {number} Anny", 100) == f"karta •••{digits[-4:]} Anny"


@pytest.mark.parametrize("text", ["zamówienie 1234567890123", "NIP 5252248481", "2026-11-21 22:00"])
def test_numbers_that_are_no_card_stay(text):
    assert clean(text, 100) == text


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (" Anna@Example.PL ", "anna@example.pl"),
        ("zażółć@przykład.pl", "zażółć@przykład.pl"),
        ("no-at.example.pl", ""),
        ("two@at@example.pl", ""),
        ("space in@example.pl", ""),
        ("anna@localhost", ""),
        ("<anna@example.pl>", ""),
        ("a" * 400 + "@example.pl", ""),
        (None, ""),
    ],
)
def test_an_address_identifies_a_person_or_is_none(given, kept):
    assert clean_email(given) == kept


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "http://x.pl", "data:,x", "https://a\nb", 5]
)
def test_only_https_becomes_a_link(url):
    assert clean_url(url) == ""


def test_metadata_is_flat_short_and_bounded():
    raw = {f"k{n}": "v" * 1000 for n in range(80)} | {"nested": {"a": 1}, "none": None}
    kept = clean_metadata(raw)
    assert len(kept) == 50
    assert {len(value) for value in kept.values()} == {500}
    assert clean_metadata("nonsense") == {}
