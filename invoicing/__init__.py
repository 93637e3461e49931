"""Paper: the messages and documents that a customer receives."""
