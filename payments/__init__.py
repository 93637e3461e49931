"""Money in: providers and their webhooks, customers, payments, refunds, the event log."""
