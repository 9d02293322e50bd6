"""URLs that users gave, whose hosts may take long to resolve."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from api.http.url_checks import MOST_CHECKS, UrlChecks
from autorag.errors import AddressError, BusyError
from collectors.outbound import Outbound
from tests.api.loopback import WITHIN_S

SLOW = "https://slow.example.org/hook"


@dataclass
class Names:
    """Resolves hosts; one that is slow only when it is told to."""

    go_on: threading.Event = field(default_factory=threading.Event)

    def resolve(self, host: str, port: int) -> list[str]:
        if host == "slow.example.org":
            self.go_on.wait(WITHIN_S)
        return ["10.0.0.1" if host == "inside.example.org" else "1.1.1.1"]


@pytest.fixture
def names() -> Iterator[Names]:
    names = Names()
    yield names
    names.go_on.set()


def test_a_url_is_checked(names: Names) -> None:
    checks = UrlChecks(Outbound(resolve=names.resolve))
    asyncio.run(checks.check("https://fast.example.org", "webhook"))
    with pytest.raises(AddressError) as caught:
        asyncio.run(checks.check("https://inside.example.org", "webhook"))
    assert caught.value.key == "webhook"


def test_a_host_that_takes_too_long_is_given_up(names: Names) -> None:
    checks = UrlChecks(Outbound(resolve=names.resolve), within_s=0.05)
    with pytest.raises(AddressError, match=r"not found within 0\.05 s") as caught:
        asyncio.run(checks.check(SLOW, "evaluator"))
    assert (caught.value.key, caught.value.value) == ("evaluator", SLOW)


def test_those_that_were_given_up_count_until_they_end(names: Names) -> None:
    checks = UrlChecks(Outbound(resolve=names.resolve), within_s=0.05)

    async def run() -> None:
        slow = [checks.check(SLOW, "webhook") for _ in range(MOST_CHECKS)]
        given_up = await asyncio.gather(*slow, return_exceptions=True)
        assert {type(error) for error in given_up} == {AddressError}
        with pytest.raises(BusyError):
            await checks.check("https://fast.example.org", "webhook")
        names.go_on.set()
        while True:
            try:
                await checks.check("https://fast.example.org", "webhook")
                return
            except BusyError:
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(run(), WITHIN_S))
