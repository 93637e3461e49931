"""Every call that leaves the house: in time, of bounded size, to public addresses, journalled."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.db import transaction

from payments import outbound
from payments.addresses import AddressRefused, is_public
from payments.masking import Mask
from payments.outbound import BadAnswer, Client, TooLarge, Unreachable, journal

TOKEN = "pat-eu1-11112222-3333-4444-5555-666677778888"

INTERNAL = [
    "127.0.0.1", "127.1", "127.255.255.254", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1",
    "0.0.0.0",  # noqa: S104
    "017700000001", "0", "localhost", "LOCALHOST", "localhost.", "１２７.０.０.１",
    "10.0.0.1", "10.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "3232235521",
    "169.254.169.254", "0xa9fea9fe", "100.64.0.1", "100.100.100.200", "192.0.0.192", "198.18.0.1",
    "192.0.2.1", "203.0.113.9", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
    "[fe80::1]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "[64:ff9b::7f00:1]",
    "[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]", "[2001:db8::1]", "[2001:0:7f00:1::80ff:fffe]",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _as_in_production(settings):
    settings.OUTBOUND_ALLOW_PRIVATE = False
    settings.OUTBOUND_ALLOW_LOOPBACK = False


class Stranger:
    """A system that sends exactly the bytes it was told to, at the pace it was told to."""

    def __init__(self, *chunks, pause=0.0, context=None, hang_up_at_once=False):
        self.chunks, self.pause, self.context = chunks, pause, context
        self.hang_up_at_once = hang_up_at_once
        self.calls = 0
        self.heard = b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            self.calls += 1
            with contextlib.suppress(OSError), conn:
                if self.context:
                    conn = self.context.wrap_socket(conn, server_side=True)
                self.heard = whole_request(conn)
                if self.hang_up_at_once:
                    continue
                for chunk in self.chunks:
                    conn.sendall(chunk)
                    time.sleep(self.pause)

    def close(self):
        self.listener.close()
        self.thread.join(0.1)


@pytest.fixture
def stranger():
    strangers = []

    def make(*args, **kwargs):
        strangers.append(Stranger(*args, **kwargs))
        return strangers[-1]

    yield make
    for each in strangers:
        each.close()


def whole_request(conn):
    """Headers and body arrive in as many pieces as the network likes."""
    heard = b""
    while b"\r\n\r\n" not in heard:
        piece = conn.recv(65536)
        if not piece:
            return heard
        heard += piece
    head, _, body = heard.partition(b"\r\n\r\n")
    _, _, after = head.lower().partition(b"content-length:")
    wanted = int(after.split(b"\r\n")[0] or 0)
    while len(body) < wanted:
        body += conn.recv(65536)
    return head + b"\r\n\r\n" + body


def answer(body, *, status="200 OK", kind="application/json", length=None, extra=""):
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nConnection: close\r\n"
    return f"{head}Content-Length: {length or len(body)}\r\n{extra}\r\n".encode() + body


def client(url, **kwargs):
    return Client(url, allow_private=True, **kwargs)


@pytest.mark.parametrize("host", INTERNAL)
def test_an_internal_address_is_refused_however_it_is_spelt(host):
    with pytest.raises((AddressRefused, Unreachable)) as refused:
        Client(f"https://{host}:9", deadline_seconds=2).request("GET", "/")
    # Whether "localhost." leads anywhere is up to the machine's resolver.
    assert isinstance(refused.value, AddressRefused) or host == "localhost."


def test_more_than_forty_spellings_reach_no_listener(stranger):
    trap = stranger(answer(b"{}"))
    port = trap.url.rpartition(":")[2]
    for host in INTERNAL:
        with pytest.raises((AddressRefused, Unreachable)):
            Client(f"https://{host}:{port}", deadline_seconds=2).request("GET", "/")
    assert len(INTERNAL) >= 40
    assert trap.calls == 0


def test_public_addresses_are_let_through():
    assert all(map(is_public, ("8.8.8.8", "104.16.0.1", "2606:4700::1111", "::ffff:8.8.8.8")))


def test_a_name_that_changes_its_mind_gains_nothing(stranger, monkeypatch):
    checked, trap = stranger(answer(b"{}")), stranger(answer(b"{}"))
    ports = [int(each.url.rpartition(":")[2]) for each in (checked, trap)]
    judged: list[str] = []

    def judge(address):
        judged.append(address)
        return True

    def resolve(host, *args, **kwargs):
        address = ("127.0.0.1", ports[min(len(judged), 1)])
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr("payments.addresses.is_public", judge)
    caller = client("http://crm.example")
    caller.allow_private = False
    assert caller.request("GET", "/").status == 200
    assert judged == ["127.0.0.1"]
    assert (checked.calls, trap.calls) == (1, 0)


@pytest.mark.parametrize(
    "address",
    [
        "http://api.example.com",
        "ftp://api.example.com",
        "file:///etc/passwd",
        "https://",
        "https://a:99999",
    ],
)
def test_only_https_leaves_the_house(address):
    with pytest.raises(AddressRefused):
        Client(address)


def test_the_setting_lets_the_sandbox_in(stranger, settings):
    settings.OUTBOUND_ALLOW_PRIVATE = True
    sandbox = stranger(answer(b'{"ok": true}'))
    assert Client(sandbox.url).request("GET", "/").json() == {"ok": True}


def test_annas_payment_goes_out_as_json_and_comes_back(stranger):
    crm = stranger(answer('{"name": "Anna Łęcka"}'.encode(), status="201 Created"))
    got = client(crm.url + "/hubspot").request(
        "POST", "/deals/a b", params={"q": "ż&"}, json={"amount": "249.00"}, headers={"X-A": "1"}
    )
    assert (got.status, got.is_ok, got.json()) == (201, True, {"name": "Anna Łęcka"})
    head, _, body = crm.heard.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /hubspot/deals/a%20b?q=%C5%BC%26 HTTP/1.1")
    assert body == b'{"amount":"249.00"}'


def test_a_form_goes_out_as_a_form(stranger):
    login = stranger(answer(b"{}"))
    client(login.url).request("POST", "/token", form={"grant_type": "refresh_token", "x": "a&b"})
    assert login.heard.endswith(b"grant_type=refresh_token&x=a%26b")


@pytest.mark.parametrize(
    "dripping",
    [[b"HTTP/1.1 200 OK\r\nX-Slow: "] + [b"x"] * 60, [answer(b"[", length=60)] + [b"1"] * 60],
    ids=["headers", "body"],
)
def test_a_system_that_drips_is_left_when_the_time_is_up(stranger, dripping):
    slow = stranger(*dripping, pause=0.1)
    began = time.monotonic()
    with pytest.raises(Unreachable) as left:
        client(slow.url, deadline_seconds=0.5).request("GET", "/")
    assert left.value.may_have_arrived
    assert time.monotonic() - began < 1.5


def test_a_refused_connection_cannot_have_arrived():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unreachable) as refused:
        client(f"http://127.0.0.1:{port}").request("POST", "/deals", json={})
    assert refused.value.may_have_arrived is False


def test_an_unknown_name_cannot_have_arrived(monkeypatch):
    def unknown(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(Unreachable) as failed:
        Client("https://api.no-such-name.example").request("GET", "/")
    assert failed.value.may_have_arrived is False


def test_a_connection_that_is_dropped_after_the_request_may_have_arrived(stranger):
    rude = stranger(hang_up_at_once=True)
    with pytest.raises(Unreachable) as dropped:
        client(rude.url).request("POST", "/deals", json={})
    assert dropped.value.may_have_arrived is True


def test_half_a_body_is_no_answer(stranger):
    half = stranger(answer(b'{"id": "1", "prop', length=500))
    with pytest.raises(BadAnswer):
        client(half.url).request("GET", "/")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<!doctype html><h1>Please wait</h1>", "text/html; charset=utf-8"),
        (b"<html>One moment</html>", "application/json"),
        (b'{"id": "1"', "application/json"),
        (b"", "application/json"),
        (b"{}", "text/html"),
    ],
)
def test_what_is_not_json_is_never_taken_for_data(stranger, body, kind):
    odd = stranger(answer(body, kind=kind))
    with pytest.raises(BadAnswer):
        client(odd.url).request("GET", "/").json()


def test_something_that_is_not_http_is_a_bad_answer(stranger):
    mail = stranger(b"220 mail.example ESMTP ready\r\n")
    with pytest.raises(BadAnswer):
        client(mail.url).request("GET", "/")


def test_a_redirect_is_not_followed(stranger):
    inside = stranger(answer(b"{}"))
    crm = stranger(answer(b"", status="302 Found", extra=f"Location: {inside.url}/\r\n"))
    with pytest.raises(BadAnswer):
        client(crm.url).request("GET", "/")
    assert inside.calls == 0


def test_a_huge_answer_is_cut_off(stranger):
    huge = stranger(answer(b"", length=10**9), *[b"x" * 65536] * 64)
    with pytest.raises(TooLarge):
        client(huge.url, max_bytes=200_000).request("GET", "/")


def test_a_strange_certificate_is_refused_before_a_byte_of_the_request(stranger, tmp_path):
    spy = stranger(answer(b"{}"), context=self_signed(tmp_path))
    with pytest.raises(Unreachable) as refused:
        client(spy.url.replace("http", "https")).request("GET", "/", json={"secret": 1})
    assert refused.value.may_have_arrived is False
    assert spy.heard == b""


def self_signed(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    today = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = folder / "both.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


@pytest.mark.django_db(transaction=True)
def test_no_call_is_made_inside_a_transaction(stranger, monkeypatch):
    monkeypatch.setattr(outbound, "ATOMIC_BLOCKS_AT_REST", 0)
    crm = stranger(answer(b"{}"))
    caller = client(crm.url)
    with transaction.atomic(), pytest.raises(RuntimeError, match="transaction"):
        caller.request("GET", "/")
    assert crm.calls == 0
    assert caller.request("GET", "/").status == 200


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7), ("0", 0), ("abc", None), ("", None), ("864000", 3600), ("-5", 0), ("nan", None)],
)
def test_a_wish_to_wait_is_read_and_kept_within_an_hour(stranger, header, seconds):
    busy = stranger(answer(b"{}", status="429 Too Many", extra=f"Retry-After: {header}\r\n"))
    assert client(busy.url).request("GET", "/").retry_after == seconds


def test_a_wish_to_wait_may_be_a_date(stranger):
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    busy = stranger(answer(b"{}", status="429 Too Many", extra=f"Retry-After: {at}\r\n"))
    assert client(busy.url).request("GET", "/").retry_after == pytest.approx(90, abs=3)


def test_the_limiter_is_asked_before_each_call(stranger):
    class Full(Exception):
        pass

    def limiter():
        raise Full

    crm = stranger(answer(b"{}"))
    with pytest.raises(Full):
        client(crm.url, limiter=limiter).request("GET", "/")
    assert crm.calls == 0


def test_the_journal_shows_the_exchange_without_secrets(stranger):
    crm = stranger(
        answer(
            f'{{"echo": "{TOKEN}", "access_token": "abcdef123456", "name": "Żaneta"}}'.encode(),
            extra="Set-Cookie: session=topsecret\r\nX-HubSpot-RateLimit-Remaining: 109\r\n",
        )
    )
    caller = client(
        f"{crm.url}/rest/7/hook$ecretpath",
        headers={"Authorization": f"Bearer {TOKEN}"},
        secrets=[TOKEN, "hook$ecretpath", "s3cr3t/with+signs"],
    )
    shown: list[dict] = []
    with journal(shown):
        caller.request(
            "POST",
            "/x",
            params={"key": "s3cr3t/with+signs", "api_key": "unknown-secret"},
            json={"note": TOKEN, "client_secret": ["a", "b"], "card": "4242 4242 4242 4242"},
        )
    (exchange,) = shown
    text = str(exchange)
    for secret in (
        TOKEN, "hook$ecretpath", "hook%24ecretpath", "s3cr3t", "unknown-secret", "topsecret",
        "abcdef123456", '["a"', "4242 4242 4242",
    ):  # fmt: skip
        assert secret not in text
    assert exchange["status"] == 200
    assert exchange["method"] == "POST"
    assert "Żaneta" in exchange["answer"]
    assert exchange["answer_headers"]["x-hubspot-ratelimit-remaining"] == "109"
    assert "authorization" not in exchange["request_headers"]


def test_a_failed_call_is_journalled_too(stranger):
    rude = stranger(hang_up_at_once=True)
    shown: list[dict] = []
    with journal(shown), pytest.raises(Unreachable):
        client(rude.url).request("POST", "/x", json={"a": 1})
    assert shown[0]["problem"]
    assert "status" not in shown[0]


def test_an_error_holds_no_secret_of_the_address(stranger):
    rude = stranger(hang_up_at_once=True)
    with pytest.raises(Unreachable) as failed:
        client(f"{rude.url}/rest/1/verysecrethook", secrets=["verysecrethook"]).request("GET", "/x")
    assert "verysecrethook" not in repr(failed.value)
    assert failed.value.__suppress_context__


def test_one_record_of_a_batch_is_shown_with_its_own_share(stranger):
    crm = stranger(answer(b'{"results": [{"id": "1"}, {"id": "2"}]}'))
    got = client(crm.url, secrets=[TOKEN]).request("POST", "/batch", json={"inputs": [1, 2]})
    share = got.exchange.about({"name": f"Anna {TOKEN}"}, {"id": "2"})
    assert share["request"] == '{"name":"Anna •••"}'
    assert share["answer"] == '{"id":"2"}'
    assert share["status"] == 200


@pytest.mark.parametrize(
    "harmless",
    ["1732226400123", "pi_3MtwBwLkdIwHu7ix28a3tqPa", "6001", "+48 600 700 800", "1234567890123456"],
)
def test_what_is_no_card_number_stays_readable(harmless):
    assert Mask().text(f'{{"id": "{harmless}"}}') == f'{{"id": "{harmless}"}}'


@pytest.mark.parametrize(
    "card", ["4242424242424242", "4000-0566-5566-5556", "5555 5555 5555 4444", "378282246310005"]
)
def test_card_numbers_become_dots(card):
    shown = Mask().text(f"paid with {card}, thanks")
    assert card not in shown
    assert shown.startswith("paid with •••")


def test_long_texts_are_cut_and_a_secret_at_the_cut_does_not_survive():
    shown = Mask([TOKEN]).text("x" * 8180 + TOKEN + "y" * 9000)
    assert len(shown) < 8300
    assert "pat-eu1" not in shown


def test_eight_threads_share_one_client(stranger):
    crm = stranger(answer(b'{"ok": 1}'))
    caller = client(crm.url)
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(caller.request("GET", "/").json()))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert answers == [{"ok": 1}] * 8
