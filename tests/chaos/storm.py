"""The road under a storm, with real processes: `python -m tests.chaos.storm --database sqlite`.

Payments are made in the sandbox; their webhooks arrive shuffled, repeated, five in a hundred never;
every fourth answer of HubSpot is bad, mail gets lost on the way; every two seconds a process of the
house is killed, and PostgreSQL is restarted once without ceremony. When the storm is over the books
are compared and one line is printed: lost=0 duplicate=0 wrong=0.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HUBSPOT_FAULTS = (
    "server_error",
    "error_after_commit",
    "dropped_connection",
    "half_answer",
    "html_200",
    "rate_limited",
)
KILL_EVERY = 2.0
PATIENCE = 420.0


@contextlib.contextmanager
def own_postgresql(port: int):
    """A throw-away cluster that may be restarted; yields (url, restart)."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not binaries:
        raise SystemExit("PostgreSQL's server programs are not installed.")
    with tempfile.TemporaryDirectory(prefix="quittance-storm-") as folder:
        data = Path(folder) / "data"
        as_owner: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
            as_owner = ["runuser", "-u", "postgres", "--"]

        def pg(*arguments: str) -> None:
            subprocess.run(
                [*as_owner, *arguments], check=True, stdout=subprocess.DEVNULL, cwd=folder
            )

        pg(str(binaries[-1] / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust")
        control = [str(binaries[-1] / "pg_ctl"), "-D", str(data), "-l", f"{folder}/log", "-w"]
        options = ["-o", f"-p {port} -k {folder} -c listen_addresses=127.0.0.1"]
        pg(*control, *options, "start")
        try:
            yield (
                f"postgresql://postgres@127.0.0.1:{port}/postgres",
                lambda: pg(*control, *options, "-m", "immediate", "restart"),
            )
        finally:
            pg(*control, "-m", "immediate", "stop")


def outside(database: str, payments: int, seed: int) -> int:
    """Make the world, then run the storm inside it."""
    from config.bench.processes import free_port
    from config.bench.world import manage, throw_away_world

    inside = [sys.executable, "-m", "tests.chaos.storm", "--inside", "--database", database]
    inside += ["--payments", str(payments), "--seed", str(seed)]
    with contextlib.ExitStack() as stack:
        environment = stack.enter_context(throw_away_world("sqlite"))
        if database == "postgresql":
            port = free_port()
            url, restart = stack.enter_context(own_postgresql(port))
            environment["DATABASE_URL"] = url
            manage(environment, "migrate", "--run-syncdb", "--verbosity=0")
        process = subprocess.Popen(inside, cwd=ROOT, env=environment)
        if database == "postgresql":
            time.sleep(25)
            restart()
        return process.wait()


def storm(payments: int, seed: int) -> int:
    """Inside the world: everything."""
    import django

    django.setup()

    from config.bench.processes import free_port, running, tree
    from config.sandbox.client import SandboxClient

    rng = random.Random(seed)
    http, smtp, web = free_port(), free_port(), free_port()
    root = f"http://127.0.0.1:{http}"
    hook = f"http://127.0.0.1:{web}/webhooks/stripe/storm/"
    with contextlib.ExitStack() as stack:
        stack.enter_context(
            running(
                *("-m", "django", "sandbox", "--port", str(http), "--smtp-port", str(smtp)),
                "--fresh",
                answers_at=f"{root}/_sandbox/calls",
            )
        )
        sandbox = stack.enter_context(SandboxClient(f"{root}/_sandbox"))
        connections = connect(sandbox, root, smtp, hook)
        supervisor = stack.enter_context(
            running(
                *("-c", "from config.supervision import main; raise SystemExit(main())"),
                *(os.environ["VAR_DIR"], "web,worker", "--port", str(web)),
                answers_at=f"http://127.0.0.1:{web}/livez",
            )
        )
        begin_faults(sandbox)
        kills = pay_under_fire(sandbox, payments, rng, lambda: tree(supervisor.pid)[1:])
        sandbox.clear_faults()
        settle(connections)
        books = compare(sandbox, connections)
    say = " ".join(f"{name}={len(found)}" for name, found in books.items())
    for name, found in books.items():
        for what in found[:20]:
            sys.stdout.write(f"{name}: {what}\n")
    sys.stdout.write(f"payments={payments} kills={kills}\n{say}\n")
    return 0 if not any(books.values()) else 1


def connect(sandbox, root: str, smtp: int, hook: str):
    from django.utils import timezone

    from config.sandbox.hubspot.world import SANDBOX_TOKEN
    from config.sandbox.stripe.base import ACCOUNT, SANDBOX_KEY
    from crm_sync.connectors.crm.hubspot import HubSpot
    from crm_sync.models import Connection
    from payments.models import ProviderAccount

    endpoint = sandbox.add_endpoint(hook)
    account = ProviderAccount(
        provider="stripe",
        slug="storm",
        label="Storm",
        livemode=False,
        external_id=ACCOUNT,
        base_url=f"{root}/stripe",
        secrets={"api_key": SANDBOX_KEY},
    )
    account.add_webhook_secret(endpoint["secret"])
    account.save()
    crm = Connection.objects.create(
        connector="hubspot",
        label="HubSpot",
        livemode=False,
        base_url=f"{root}/hubspot",
        secrets={"token": SANDBOX_TOKEN},
        follows_since=timezone.now(),
    )
    HubSpot(crm).create_properties()
    mail = Connection.objects.create(
        connector="email",
        label="Mail",
        livemode=False,
        options={
            "host": "127.0.0.1",
            "port": smtp,
            "security": "none",
            "from_address": "shop@example.com",
            "receipt_delay_seconds": 1,
        },
        follows_since=timezone.now(),
    )
    return account, crm, mail


def begin_faults(sandbox) -> None:
    for kind in HUBSPOT_FAULTS:
        sandbox.add_fault(kind, vendor="hubspot", probability=0.25 / len(HUBSPOT_FAULTS))
    sandbox.add_fault("server_error", vendor="stripe", match="GET", probability=0.1)
    sandbox.add_fault("lost_webhooks", probability=0.05)
    sandbox.add_fault("duplicate_webhooks", probability=0.3)
    sandbox.add_fault("disordered_webhooks", probability=0.5)
    sandbox.add_fault("smtp_local_error", probability=0.1)
    sandbox.add_fault("smtp_dropped_after_data", probability=0.05)


def pay_under_fire(sandbox, payments: int, rng: random.Random, processes) -> int:
    """Make the payments while processes die; answers how many were killed."""
    kills = 0
    next_kill = time.monotonic() + KILL_EVERY
    for number in range(payments):
        person = rng.randrange(payments // 5)
        purchase = {
            "email": f"payer{person}@example.com",
            "name": f"Payer {person}",
            "amount": rng.randint(10, 900) * 100,
            "currency": "pln",
            "description": f"Produkt {number}",
            "method": ["card", "visa", "4242"],
        }
        paid = sandbox.story("pay", **purchase)
        if rng.random() < 0.2:
            sandbox.story("refund", paid.charge)
        time.sleep(0.15)
        if time.monotonic() >= next_kill:
            next_kill = time.monotonic() + KILL_EVERY
            alive = processes()
            if alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(rng.choice(alive), signal.SIGKILL)
                    kills += 1
    return kills


def settle(connections) -> None:
    """Let the house come to rest: nothing fails any more, what waits is tried at once."""
    from django.db import OperationalError, close_old_connections
    from django.utils import timezone

    from crm_sync import deliveries
    from crm_sync.models import Delivery
    from payments.catch_up import catch_up
    from payments.models import InboundWebhook

    account, crm, mail = connections
    until = time.monotonic() + PATIENCE
    caught_up = False
    while time.monotonic() < until:
        time.sleep(1)
        close_old_connections()
        try:
            now = timezone.now()
            InboundWebhook.objects.filter(state="waiting").update(due_at=now)
            Delivery.objects.filter(state="waiting").update(due_at=now)
            for conn in (crm, mail):
                conn.refresh_from_db()
                if conn.paused_reason:
                    deliveries.resume(conn)
            open_webhooks = InboundWebhook.objects.filter(state__in=InboundWebhook.OPEN)
            open_deliveries = Delivery.objects.filter(
                state__in=(*Delivery.OPEN, Delivery.State.LEASED)
            )
            if open_webhooks.exists() or open_deliveries.exists():
                continue
            if caught_up:
                return
            catch_up(account)
            caught_up = True
        except OperationalError:
            continue
    sys.stdout.write("The house did not come to rest in time.\n")


def compare(sandbox, connections) -> dict[str, list[str]]:
    """What is lost, there twice, or wrong, as the outside systems hold it."""
    from crm_sync.models import Delivery, ExternalRecord
    from payments.models import InboundWebhook, Payment

    _account, crm, mail = connections
    lost: list[str] = []
    wrong: list[str] = []
    twice: list[str] = []
    deals = {deal["id"]: deal for deal in sandbox.records("deals")}
    emails = Counter(row["properties"].get("email") for row in sandbox.records("contacts"))
    twice += [f"contact {email}" for email, count in emails.items() if count > 1]
    letters = Counter(mail_["message_id"] for mail_ in sandbox.mailbox())
    twice += [f"letter {key}" for key, count in letters.items() if count > 1]
    links = dict(
        ExternalRecord.objects.filter(connection=crm, kind="deal").values_list(
            "local_key", "remote_id"
        )
    )
    receipts = dict(
        Delivery.objects.filter(connection=mail, purpose="receipt").values_list(
            "payment_id", "state"
        )
    )
    charges = {charge["payment_intent"]: charge for charge in sandbox.objects("charge")}
    for key, charge in charges.items():
        payment = Payment.objects.filter(external_id=key).first()
        if payment is None:
            lost.append(f"payment {key}")
            continue
        if payment.amount_refunded_minor != charge["amount_refunded"]:
            wrong.append(f"{key}: refunded {payment.amount_refunded_minor}")
        deal = deals.get(links.get(f"payment:{payment.pk}", ""))
        if deal is None:
            lost.append(f"deal of {key}")
        elif float(deal["properties"]["amount"]) * 100 != payment.amount_minor:
            wrong.append(f"deal of {key} says {deal['properties']['amount']}")
        if payment.pk not in receipts:
            lost.append(f"receipt of {key}")
        elif receipts[payment.pk] not in ("delivered", "unsure"):
            wrong.append(f"receipt of {key} is {receipts[payment.pk]}")
    if len(deals) > len(charges):
        twice.append(f"{len(deals)} deals for {len(charges)} payments")
    for webhook in InboundWebhook.objects.filter(state="needs_attention"):
        wrong.append(f"webhook {webhook.event_type}: {webhook.problem}")
    for delivery in Delivery.objects.filter(state__in=("needs_attention", "queued", "leased")):
        wrong.append(f"{delivery.purpose} is {delivery.state}: {delivery.cause}")
    return {"lost": lost, "duplicate": twice, "wrong": wrong}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--payments", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--inside", action="store_true")
    options = parser.parse_args()
    if options.inside:
        return storm(options.payments, options.seed)
    return outside(options.database, options.payments, options.seed)


if __name__ == "__main__":
    sys.exit(main())
