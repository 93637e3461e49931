"""The peer of `bench ingest`: Django's ASGI application with one view that does nothing.

    python -m config.bench.empty --port 8001

Without middleware, so that it is the quickest that Django can be here.
"""

from __future__ import annotations

import argparse

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from granian.constants import Interfaces

from config.management.commands.web import make_server


def empty(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


PEER = "config.bench.empty"

urlpatterns = [path("empty/", empty)]


def application() -> object:
    """What granian loads; nothing of it is reachable in the house itself."""
    settings.ROOT_URLCONF = PEER
    settings.MIDDLEWARE = []
    return get_asgi_application()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    port: int = parser.parse_args().port
    django.setup()
    # Django's application knows no lifespan, so granian does not start one.
    make_server(
        "127.0.0.1",
        port,
        1,
        f"{PEER}:application",
        factory=True,
        interface=Interfaces.ASGINL,
    ).serve()
