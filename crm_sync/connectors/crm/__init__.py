"""Connectors of one family."""
