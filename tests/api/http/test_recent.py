"""What many ask for is looked up once."""

from __future__ import annotations

import asyncio

import pytest

from api.http.recent import KEPT_S, Recent
from autorag.errors import StoreError
from tests.fakes import ManualClock


def test_who_asks_again_soon_or_meanwhile_gets_the_same() -> None:
    clock, looks = ManualClock(), iter(range(10))

    async def look() -> int:
        await asyncio.sleep(0.01)
        return next(looks)

    async def run() -> None:
        recent = Recent(look, clock)
        assert await asyncio.gather(*(recent.get() for _ in range(20))) == [0] * 20
        clock.advance(KEPT_S)
        assert [await recent.get(), await recent.get()] == [1, 1]

    asyncio.run(run())


def test_a_look_that_failed_is_tried_again() -> None:
    answers = iter([StoreError("not now"), "found"])

    async def look() -> str:
        answer = next(answers)
        if isinstance(answer, StoreError):
            raise answer
        return answer

    async def run() -> str:
        recent = Recent(look, ManualClock())
        with pytest.raises(StoreError):
            await recent.get()
        return await recent.get()

    assert asyncio.run(run()) == "found"
