"""Money in: providers, their webhooks, customers, payments, refunds, subscriptions, the event log."""
