"""`manage.py cluster`: the worker's processes, as the supervisor starts them."""

from __future__ import annotations

import gc
from typing import Any

from django.core.management.base import BaseCommand
from django.db import connections
from django_q.cluster import Cluster

from config import work


class Command(BaseCommand):
    help = "Runs the worker's processes without a supervisor (use `worker`)."

    def handle(self, *args: Any, **options: Any) -> None:
        work.warm_up()
        connections.close_all()
        # What is loaded now is shared by the forked processes as long as nobody touches it.
        gc.collect()
        gc.freeze()
        # Django makes and drops many small objects: looking for cycles less often saves a quarter.
        gc.set_threshold(20_000, 20, 100)
        Cluster().start()
