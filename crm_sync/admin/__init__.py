"""The pages of what leaves: connections, deliveries and what needs a person."""

from __future__ import annotations

from crm_sync.admin.connections import ConnectionAdmin
from crm_sync.admin.deliveries import DeliveryAdmin
from crm_sync.admin.mappings import FieldMappingAdmin

__all__ = ["ConnectionAdmin", "DeliveryAdmin", "FieldMappingAdmin"]
