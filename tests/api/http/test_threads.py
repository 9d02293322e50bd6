"""Work that must not hold up other work."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.http.threads import READERS, Reads, apart
from store.database import Database
from store.engine import open_database, sqlite_url
from tests.api.loopback import WITHIN_S
from tests.fakes import ManualClock

SLOW = """
import time
from api.http.threads import apart
apart(time.sleep, 600)
"""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    engine = open_database(sqlite_url(tmp_path / "a.db"))
    yield Database(engine, ManualClock())
    engine.dispose()


def test_reads_wait_for_nobody_who_takes_long_elsewhere(database: Database) -> None:
    """The loop's own threads are all taken."""
    done = threading.Event()

    async def run(reads: Reads) -> list[str]:
        slow = [asyncio.create_task(asyncio.to_thread(done.wait, WITHIN_S)) for _ in range(50)]
        await asyncio.sleep(0)
        looks = [reads.read(lambda session: session.apps.names()) for _ in range(3 * READERS)]
        names = await asyncio.gather(*looks)
        assert not done.is_set()
        done.set()
        await asyncio.gather(*slow)
        return [*names[0]]

    with Reads(database) as reads:
        assert asyncio.run(run(reads)) == []


def test_what_is_done_apart_comes_back_or_fails() -> None:
    assert apart(max, 1, 2).result(WITHIN_S) == 2
    with pytest.raises(ZeroDivisionError):
        apart(divmod, 1, 0).result(WITHIN_S)


def test_what_is_done_apart_keeps_no_process_from_ending() -> None:
    subprocess.run([sys.executable, "-c", SLOW], check=True, timeout=WITHIN_S)
