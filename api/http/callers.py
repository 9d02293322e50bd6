"""Who asks, before anything is done for them. A request with a live key is charged to the key, any
other to the address that it comes from: nobody may ask more often by writing the key another way or
by making keys up.
"""

from __future__ import annotations

from ipaddress import IPv6Address

from starlette.types import Scope

from api.auth import bearer, hashed, password
from api.http.key_ring import KeyRing
from api.http.rates import Rates
from api.problems import Refusal

NETWORK_BYTES = 8
"""Of an IPv6 address: one machine has all that begin with the same."""


class Callers:
    """Charges requests."""

    def __init__(self, keys: KeyRing, rates: Rates) -> None:
        self._keys = keys
        self._rates = rates

    async def charge(self, scope: Scope) -> bool:
        """Charge a request to its key or its address; whether its key is live.

        Raises:
            Refusal: these asked too often.
            StoreError: the key could not be looked up.
        """
        hash_ = await self._live(scope)
        if hash_ is not None:
            self._take(hash_.encode(), "key")
        return hash_ is not None

    async def charge_strangers(self, scope: Scope) -> None:
        """As :meth:`charge`, but live keys may ask as often as they like."""
        await self._live(scope)

    async def _live(self, scope: Scope) -> str | None:
        """The hash of the live key. The address is charged before a key that is not recognised is
        looked up, and gets it back when the key is live."""
        hash_ = _hash(scope)
        if hash_ is not None and self._keys.recognises(hash_):
            return hash_
        address = _address(scope)
        self._take(address, "address")
        if hash_ is None or await self._keys.find(hash_) is None:
            return None
        self._rates.give_back(address)
        return hash_

    def _take(self, caller: bytes, kind: str) -> None:
        if wait_s := self._rates.take(caller):
            detail = f"more requests than this {kind} may make"
            raise Refusal(429, "rate", detail, self._rates.headers(wait_s, kind))


def _hash(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"authorization":
            header = value.decode("latin-1")
            key = bearer(header) or password(header)
            return None if key is None else hashed(key)
    return None


def _address(scope: Scope) -> bytes:
    host: str = scope["client"][0] if scope.get("client") else ""
    if ":" not in host:
        return host.encode()
    address = IPv6Address(host)
    mapped = address.ipv4_mapped
    return str(mapped).encode() if mapped else address.packed[:NETWORK_BYTES]
