"""Which addresses a call may go to, and sockets that go nowhere else and never wait too long.

A name is resolved once and the connection is made to the very address that was checked, so a name
that answers differently the second time gains nothing.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ssl import SSLContext

_NAT64 = IPv6Network("64:ff9b::/96")
_IPV4_COMPATIBLE = IPv6Network("::/96")


class AddressRefused(Exception):
    """The call would have gone to an address inside our own network."""


def is_public(address: str) -> bool:
    """Whether `address` (numeric, IPv4 or IPv6) lies in the open internet, however it is written.

    IPv4 addresses wrapped in IPv6 (mapped, compatible, 6to4, Teredo, NAT64) are judged by what
    they wrap.
    """
    ip = ip_address(address.partition("%")[0])
    inner = _wrapped(ip) if isinstance(ip, IPv6Address) else None
    if inner is not None:
        return is_public(str(inner))
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def is_allowed_loopback(host: str) -> bool:
    """Whether `host` (numeric, or "localhost") is this machine and the sandbox may run there."""
    if not settings.OUTBOUND_ALLOW_LOOPBACK:
        return False
    try:
        return host == "localhost" or ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _wrapped(ip: IPv6Address) -> IPv4Address | None:
    if ip in _NAT64 or ip in _IPV4_COMPATIBLE:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)


class _Rules(threading.local):
    """What holds for the call that this thread is making."""

    ends_at: float = float("inf")
    allow_private: bool = False


rules = _Rules()


def seconds_left() -> float:
    """Until this thread's call must have ended. Raises TimeoutError when it should have."""
    left = rules.ends_at - time.monotonic()
    if left <= 0:
        raise TimeoutError("The whole call took too long.")
    return left


class _Timed:
    """A socket whose every step may only take what is left of the whole call.

    An ordinary timeout starts again with each byte, so a system that drips holds a worker forever.
    """

    def recv_into(self: Any, *args: Any) -> int:
        self.settimeout(seconds_left())
        return int(super().recv_into(*args))  # type: ignore[misc]

    def sendall(self: Any, *args: Any) -> None:
        self.settimeout(seconds_left())
        super().sendall(*args)  # type: ignore[misc]


class TimedSocket(_Timed, socket.socket):
    pass


class TimedTlsSocket(_Timed, ssl.SSLSocket):
    def send(self, *args: Any) -> int:
        self.settimeout(seconds_left())
        return super().send(*args)


def verifying_context() -> SSLContext:
    """TLS as it should be: certificates and names checked against the machine's authorities."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = TimedTlsSocket
    return context


def checked_addresses(host: str, port: int) -> list[tuple[Any, ...]]:
    """Where `host` is. Raises AddressRefused as soon as one of its addresses is internal."""
    found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    if not rules.allow_private:
        for *_, address in found:
            if not is_public(str(address[0])) and not is_allowed_loopback(str(address[0])):
                raise AddressRefused(f"{host} leads to the internal address {address[0]}.")
    return cast("list[tuple[Any, ...]]", found)


def open_socket(addresses: Sequence[tuple[Any, ...]]) -> TimedSocket:
    """A connection to the first of `addresses` (checked ones) that takes it.

    Raises the last address's OSError, TimeoutError among them.
    """
    last: OSError = OSError("The name leads to no address.")
    for family, kind, protocol, _, address in addresses:
        sock = TimedSocket(family, kind, protocol)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(seconds_left())
            sock.connect(address)
        except OSError as error:
            sock.close()
            last = error
        else:
            return sock
    raise last


def _connect(connection: HTTPConnection) -> socket.socket:
    """In place of urllib3's own: the same errors, but only to addresses that were checked."""
    try:
        addresses = checked_addresses(connection._dns_host, connection.port)
    except (socket.gaierror, UnicodeError) as error:
        failure = socket.gaierror(socket.EAI_NONAME, str(error))
        raise NameResolutionError(connection.host, connection, failure) from error
    try:
        return open_socket(addresses)
    except TimeoutError as error:
        text = f"{connection.host} did not answer in time."
        raise ConnectTimeoutError(connection, text) from error
    except OSError as error:
        text = f"{connection.host} cannot be reached: {error}"
        raise NewConnectionError(connection, text) from error


class _Plain(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _connect(self)


class _Tls(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _connect(self)


class PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class TlsPool(HTTPSConnectionPool):
    ConnectionCls = _Tls
