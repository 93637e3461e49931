from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from config.bench.processes import tree
from tests.payments.intake.house import event, signature

PATH = "/webhooks/stripe/acme/"
GARBAGE = os.urandom(1_800_000)


def head(*lines: str, path: str = PATH) -> bytes:
    said = (f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", *lines)
    return "\r\n".join((*said, "", "")).encode()


def connected(house) -> socket.socket:
    return socket.create_connection(("127.0.0.1", house.port), timeout=30)


def status_of(line: socket.socket) -> int:
    """The status that was answered; 0 when the connection was cut before."""
    try:
        return int(line.recv(4096)[9:12] or 0)
    except OSError:
        return 0


def memory(house) -> int:
    """Kilobytes that the web processes hold."""
    return sum(
        int(line.split()[1])
        for member in tree(house.pid)
        for line in Path(f"/proc/{member}/status").read_text().splitlines()
        if line.startswith("VmRSS:")
    )


def best_seconds(house) -> float:
    """The quickest of five honest posts: what the house can do on a busy machine."""
    answers = [house.post(event(f"evt_honest_{number}")) for number in range(5)]
    assert [answer.status for answer in answers] == [200] * 5
    return min(answer.seconds for answer in answers)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_a_thousand_large_garbage_posts_leave_no_row_and_take_no_memory(house):
    def throw(number: int) -> int:
        with contextlib.closing(connected(house)) as line:
            announced = f"Content-Length: {len(GARBAGE)}"
            chunked = "Transfer-Encoding: chunked"
            with contextlib.suppress(OSError):
                line.sendall(head(chunked if number % 2 else announced))
                if number % 2:
                    line.sendall(f"{len(GARBAGE):x}\r\n".encode())
                line.sendall(GARBAGE)
            return status_of(line)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(throw, range(64)))
        before = memory(house)
        statuses = list(pool.map(throw, range(1000)))

    assert set(statuses) <= {413, 0}
    assert house.kept() == 0
    assert memory(house) - before < 20_000
    assert house.post().status == 200


def test_one_byte_beyond_a_mebibyte_is_refused_by_its_announcement_alone(house):
    with contextlib.closing(connected(house)) as line:
        line.sendall(head("Content-Length: 1048577"))

        assert status_of(line) == 413


def test_a_large_post_that_announces_nothing_is_cut_off(house):
    with contextlib.closing(connected(house)) as line:
        line.sendall(head("Transfer-Encoding: chunked"))
        sent = 0
        with contextlib.suppress(OSError):
            for _ in range(400):
                line.sendall(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
                sent += 65_536

        assert sent < 20_000_000
        assert house.kept() == 0


def test_four_hundred_half_sent_posts_do_not_keep_an_honest_one_waiting(house):
    body = event("evt_half")
    lines = [connected(house) for _ in range(400)]
    try:
        for line in lines:
            line.sendall(
                head(f"Content-Length: {len(body)}", f"Stripe-Signature: {signature(body)}")
            )
            line.sendall(body[: len(body) // 2])

        assert best_seconds(house) <= 0.5
        assert house.get("/livez").status == 200
    finally:
        for line in lines:
            line.close()
    assert house.query(
        "SELECT count(*) FROM payments_inboundwebhook WHERE external_id = 'evt_half'"
    ) == [(0,)]


def test_four_hundred_large_half_sent_posts_leave_room_for_ordinary_ones(house):
    lines = [connected(house) for _ in range(400)]
    try:
        for line in lines:
            line.sendall(head("Content-Length: 1000000"))
            with contextlib.suppress(OSError):
                line.sendall(b"x" * 100_000)

        assert best_seconds(house) <= 0.5
    finally:
        for line in lines:
            line.close()


@pytest.mark.slow
def test_a_half_sent_post_is_dropped_after_ten_seconds(house):
    with contextlib.closing(connected(house)) as line:
        line.sendall(head("Content-Length: 500") + b"{")
        begun_at = time.monotonic()

        assert status_of(line) == 408
        assert 9 <= time.monotonic() - begun_at < 15
        assert line.recv(4096) == b""


def test_a_post_that_drips_in_is_still_taken(house):
    body = event("evt_drip")
    with contextlib.closing(connected(house)) as line:
        line.sendall(head(f"Content-Length: {len(body)}", f"Stripe-Signature: {signature(body)}"))
        for start in range(0, len(body), 100):
            line.sendall(body[start : start + 100])
            time.sleep(0.02)

        assert status_of(line) == 200
    assert house.kept() == 1


@pytest.mark.parametrize("moment", ["before the body", "within the body", "after the body"])
def test_a_sender_that_hangs_up_does_no_harm(house, moment):
    body = event("evt_gone")
    told = {"before the body": 0, "within the body": 100, "after the body": len(body)}[moment]
    for _ in range(50):
        line = connected(house)
        line.sendall(head(f"Content-Length: {len(body)}", f"Stripe-Signature: {signature(body)}"))
        line.sendall(body[:told])
        # Cut, not closed: the sender's machine is gone.
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        line.close()

    assert house.post(event("evt_next")).status == 200
    assert house.kept() == (2 if moment == "after the body" else 1)


def test_words_that_are_not_http_do_no_harm(house):
    for said in (
        b"\x16\x03\x01\x02\x00",
        b"GET\r\n\r\n",
        b"POST / HTTP/9.9\r\n\r\n",
        b"\x00" * 9000,
    ):
        with contextlib.closing(connected(house)) as line, contextlib.suppress(OSError):
            line.sendall(said)
            line.shutdown(socket.SHUT_WR)
            line.recv(4096)

    assert house.post().status == 200


def test_a_content_length_that_lies_is_refused(house):
    for said in ("Content-Length: -5", "Content-Length: 5e3", "Content-Length: ٥"):
        with contextlib.closing(connected(house)) as line:
            line.sendall(head(said).replace("٥".encode(), b"\xd9\xa5"))
            assert status_of(line) in {400, 413}
    assert house.kept() == 0
