"""Every payment provider that we can listen to: slug -> where its code stands."""

from __future__ import annotations

import functools
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from payments.models import ProviderAccount
    from payments.providers.base import Provider

PROVIDERS: dict[str, str] = {
    # slug: module and class
    "stripe": "payments.providers.stripe.Stripe",
}


@functools.cache
def provider_class(slug: str) -> type[Provider]:
    """The provider's class, imported on first use. Raises KeyError for an unknown one."""
    module, name = PROVIDERS[slug].rsplit(".", 1)
    found: type[Provider] = getattr(import_module(module), name)
    return found


def provider_for(account: ProviderAccount) -> Provider:
    """The provider of `account`, ready to work for it."""
    return provider_class(account.provider)(account)
