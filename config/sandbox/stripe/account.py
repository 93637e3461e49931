"""The account that the sandbox's Stripe belongs to: a Polish company in test mode."""

from __future__ import annotations

from config.sandbox.stripe.objects import address_of, list_of
from config.sandbox.wire import Json


def account(key: str, created: int, name: str, email: str) -> Json:
    nothing_due: Json = {
        "alternatives": [],
        "current_deadline": None,
        "currently_due": [],
        "disabled_reason": None,
        "errors": [],
        "eventually_due": [],
        "past_due": [],
        "pending_verification": [],
    }
    return {
        "id": key,
        "object": "account",
        "business_profile": {
            "annual_revenue": None,
            "estimated_worker_count": None,
            "mcc": "5734",
            "minority_owned_business_designation": None,
            "name": name,
            "product_description": "Subscriptions and courses",
            "support_address": address_of({"city": "Gdańsk", "line1": "ul. Długa 1"}, "PL"),
            "support_email": email,
            "support_phone": "+48585550101",
            "support_url": "https://shop.example.pl/help",
            "url": "https://shop.example.pl",
        },
        "business_type": "company",
        "capabilities": {
            "blik_payments": "active",
            "card_payments": "active",
            "link_payments": "active",
            "p24_payments": "active",
            "sepa_debit_payments": "active",
            "transfers": "active",
        },
        "charges_enabled": True,
        "controller": {"type": "account"},
        "country": "PL",
        "created": created,
        "default_currency": "pln",
        "details_submitted": True,
        "email": email,
        "external_accounts": list_of([], f"/v1/accounts/{key}/external_accounts"),
        "future_requirements": nothing_due,
        "metadata": {},
        "payouts_enabled": True,
        "requirements": nothing_due,
        "settings": {
            "bacs_debit_payments": {"display_name": None, "service_user_number": None},
            "branding": {
                "icon": None,
                "logo": None,
                "primary_color": None,
                "secondary_color": None,
            },
            "card_issuing": {"tos_acceptance": {"date": None, "ip": None}},
            "card_payments": {
                "decline_on": {"avs_failure": False, "cvc_failure": True},
                "statement_descriptor_prefix": None,
                "statement_descriptor_prefix_kana": None,
                "statement_descriptor_prefix_kanji": None,
            },
            "dashboard": {"display_name": name, "timezone": "Europe/Warsaw"},
            "invoices": {"default_account_tax_ids": None, "hosted_payment_method_save": "never"},
            "payments": {
                "statement_descriptor": "SHOP.EXAMPLE.PL",
                "statement_descriptor_kana": None,
                "statement_descriptor_kanji": None,
                "statement_descriptor_prefix_kana": None,
                "statement_descriptor_prefix_kanji": None,
            },
            "payouts": {
                "debit_negative_balances": True,
                "schedule": {"delay_days": 7, "interval": "weekly", "weekly_anchor": "monday"},
                "statement_descriptor": None,
            },
            "sepa_debit_payments": {},
        },
        "tos_acceptance": {"date": created, "ip": None, "user_agent": None},
        "type": "standard",
    }
