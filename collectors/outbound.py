"""Calling URLs that users gave: the only way in which the service calls them.

A user's URL must not reach what only this machine can reach (server-side request forgery). For
every connection the host is resolved once, all its addresses are checked, and the connection goes
to one that was checked, so that a name cannot change its mind in between. Only the addresses
count: however a host is spelled, it is what it resolves to. No redirect is followed, no proxy is
used, and answers are bounded in size and time.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Any

import httpcore2
import httpx2

from autorag import __version__
from autorag.errors import AddressError, MeasurementError, UnreachableError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

Resolver = Callable[[str, int], Iterable[str]]
"""Host and port → addresses; raises ``OSError``."""

LONGEST_URL = 2048
MOST_BYTES = 32 * 2**20
CONNECT_S = 5.0
WRITE_S = 30.0
ANSWER_S = 30.0
SLICE_S = 0.25
"""Longest wait without asking whether to go on."""

# IANA's special-purpose registries; ``ipaddress.is_global`` differs between versions of Python.
_NOT_GLOBAL = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, as this machine resolves it."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(row[4][0]) for row in found))


EVERYWHERE = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))
"""Allows any address: for URLs that the operator gave himself."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True)
class Outbound:
    """Calls to URLs that users gave.

    Attributes:
        allowed_networks: may be called although they are not global.
        resolve: from host to addresses.
        most_bytes: largest answer.
    """

    allowed_networks: Sequence[Network] = ()
    resolve: Resolver = resolve
    most_bytes: int = MOST_BYTES
    connect_s: float = CONNECT_S

    def check(self, url: str, key: str = "url") -> tuple[Address, ...]:
        """Check a URL without calling it; returns the addresses of its host.

        Raises:
            AddressError: it must not be called, or its host is not known; ``key`` names it.
        """
        parsed = _parsed(url, key)
        try:
            return self._addresses(parsed, key, url)
        except UnreachableError as error:
            raise AddressError(str(error), key=key, value=url) from error

    def post(
        self,
        url: str,
        content: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        answer_s: float = ANSWER_S,
        poll: Callable[[], None] | None = None,
    ) -> Answer:
        """Send a body and wait for the whole answer, whatever its status (but no redirect).

        Args:
            headers: JSON is sent unless they say otherwise.
            answer_s: seconds until the whole answer must be there.
            poll: called several times a second while waiting; what it raises ends the call.

        Raises:
            AddressError: the URL must not be called.
            UnreachableError: the server could not be reached, or hung up.
            MeasurementError: it answered too slowly, too much, or with a redirect.
        """
        parsed = _parsed(url, "url")
        call = _Call(self, parsed, time.monotonic() + answer_s, poll)
        timeouts = {"connect": self.connect_s, "write": WRITE_S}
        try:
            with (
                httpcore2.ConnectionPool(network_backend=_Backend(call)) as pool,
                pool.stream(
                    "POST",
                    _core_url(parsed),
                    headers=_headers(parsed, headers or {}),
                    content=content,
                    extensions={"timeout": timeouts},
                ) as response,
            ):
                return self._answer(response, _shown(parsed))
        except (httpcore2.ReadTimeout, httpcore2.WriteTimeout) as error:
            raise MeasurementError(
                f"{_shown(parsed)}: no whole answer within {answer_s:g} s"
            ) from error
        except (
            httpcore2.NetworkError,
            httpcore2.ConnectTimeout,
            httpcore2.ProtocolError,
        ) as error:
            why = str(error) or type(error).__name__
            raise UnreachableError(f"{_shown(parsed)}: {why}") from error

    def _addresses(self, url: httpx2.URL, key: str, shown: str) -> tuple[Address, ...]:
        """The addresses of the host, all of which may be called.

        Raises:
            AddressError: one of them may not.
            UnreachableError: the host is not known.
        """
        try:
            found = [ip_address(a) for a in self.resolve(url.raw_host.decode("ascii"), _port(url))]
        except (OSError, UnicodeError) as error:
            raise UnreachableError(f"{key} = {shown!r}: host not found: {error}") from error
        if not found:
            raise UnreachableError(f"{key} = {shown!r}: host not found")
        for address in found:
            if not self._allows(address):
                # The address is not told: who may ask is not always who may know it.
                raise AddressError(
                    f"{key} = {shown!r}: leads to no public address, and into no allowed network",
                    key=key,
                    value=shown,
                )
        return tuple(found)

    def _allows(self, address: Address) -> bool:
        forms = (address, embedded(address))
        return _is_global(forms[1]) or any(a in n for a in forms for n in self.allowed_networks)

    def _answer(self, response: httpcore2.Response, url: str) -> Answer:
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in response.headers}
        if 300 <= response.status < 400:
            raise MeasurementError(f"{url} answered {response.status}: redirects are not followed")
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding != "identity":
            raise MeasurementError(f"{url} answered in the encoding {encoding!r}: nobody asked")
        pieces, size = [], 0
        for piece in response.iter_stream():
            size += len(piece)
            if size > self.most_bytes:
                raise MeasurementError(f"{url} answered more than {self.most_bytes} bytes")
            pieces.append(piece)
        return Answer(response.status, headers, b"".join(pieces))


def embedded(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for (mapped, NAT64, 6to4), else the address."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _is_global(address: Address) -> bool:
    inside = isinstance(address, IPv4Address) or address in _GLOBAL_V6
    return inside and not any(address in network for network in _NOT_GLOBAL)


def _parsed(url: str, key: str) -> httpx2.URL:
    if len(url) > LONGEST_URL:
        raise AddressError(
            f"{key} has {len(url)} characters, at most {LONGEST_URL} are allowed",
            key=key,
            value=url[:LONGEST_URL],
        )
    try:
        parsed = httpx2.URL(url)
        why = _wrong(parsed)
    except (httpx2.InvalidURL, ValueError) as error:
        why = str(error)
    if "@" in url and (why or parsed.userinfo):
        # What stands before the @ may be a password: not shown.
        raise AddressError(f"{key}: no user name or password is sent", key=key)
    if why:
        raise AddressError(f"{key} = {url!r}: {why}", key=key, value=url)
    return parsed


def _wrong(url: httpx2.URL) -> str | None:
    if url.scheme not in ("http", "https"):
        return "expected http:// or https://"
    if not url.host:
        return "no host"
    if not 0 < _port(url) <= 65535:
        return "no such port"
    return "a fragment is never sent" if url.fragment else None


def _port(url: httpx2.URL) -> int:
    port: int | None = url.port
    return (443 if url.scheme == "https" else 80) if port is None else port


def _shown(url: httpx2.URL) -> str:
    """The URL without its query, which may hold a secret."""
    return f"{url.scheme}://{url.netloc.decode('ascii')}{url.path}"


def _core_url(url: httpx2.URL) -> httpcore2.URL:
    return httpcore2.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
    )


def _headers(url: httpx2.URL, given: Mapping[str, str]) -> list[tuple[str, str]]:
    ours = {
        "host": url.netloc.decode("ascii"),
        "user-agent": f"autorag/{__version__}",
        "accept-encoding": "identity",
        "connection": "close",
        "content-type": "application/json",
    }
    return list({**ours, **{name.lower(): value for name, value in given.items()}}.items())


@dataclass(frozen=True)
class _Call:
    """One call under way. ``ends`` is on ``time.monotonic``."""

    outbound: Outbound
    url: httpx2.URL
    ends: float
    poll: Callable[[], None] | None

    def addresses(self) -> tuple[Address, ...]:
        return self.outbound._addresses(self.url, "url", _shown(self.url))

    def wait_s(self) -> float:
        """How long to wait before asking again."""
        if self.poll is not None:
            self.poll()
        left = self.ends - time.monotonic()
        if left <= 0:
            raise httpcore2.ReadTimeout
        return min(SLICE_S, left)


class _Backend(httpcore2.NetworkBackend):
    """Connects to addresses that were checked."""

    def __init__(self, call: _Call) -> None:
        self._call = call
        self._inner = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore2.NetworkStream:
        failed: Exception | None = None
        for address in self._call.addresses():
            try:
                inner = self._inner.connect_tcp(str(address), port, timeout, local_address)
                return _Stream(inner, self._call)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failed = error
        assert failed is not None
        raise failed


class _Stream(httpcore2.NetworkStream):
    """Waits for data in slices, so that a call can be ended from outside."""

    def __init__(self, inner: httpcore2.NetworkStream, call: _Call) -> None:
        self._inner = inner
        self._call = call

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        while True:
            wait_s = self._call.wait_s()
            try:
                return self._inner.read(max_bytes, wait_s)
            except httpcore2.ReadTimeout:
                continue

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, timeout)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, timeout), self._call)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
