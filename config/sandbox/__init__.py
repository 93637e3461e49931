"""The sandbox: stateful stand-ins for the outside systems, on loopback.

Stripe, HubSpot and a mail server that behave as the real ones do today, misbehave on request, and
remember what was done to them. Demonstrations, tests and load measurements talk to it over real
sockets; nothing here imports Django.
"""

from __future__ import annotations
