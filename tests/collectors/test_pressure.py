"""CPU pressure is a share of time, or unknown."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

import pytest

from collectors import pressure
from collectors.pressure import PressureMark, waited_share

psi = pytest.mark.skipif(not pressure.FILE.exists(), reason="this kernel has no PSI")


def spin(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


@psi
def test_a_mark_reads_the_kernel() -> None:
    mark = PressureMark.now()
    assert mark.waited_us is not None
    assert mark.waited_us >= 0
    time.sleep(0.05)
    share = mark.since()
    assert share is not None
    assert 0 <= share <= 1


@psi
def test_more_work_than_cores_is_pressure() -> None:
    mark = PressureMark.now()
    context = multiprocessing.get_context("spawn")
    busy = [context.Process(target=spin, args=(1.0,)) for _ in range(2 * (os.cpu_count() or 1))]
    for process in busy:
        process.start()
    for process in busy:
        process.join()
    share = mark.since()
    assert share is not None
    assert share > 0.2


def test_the_share_follows_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "cpu"
    monkeypatch.setattr(pressure, "FILE", file)
    file.write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=1000\nfull total=7\n")
    mark = PressureMark.now()
    assert mark.waited_us == 1000
    time.sleep(0.05)
    file.write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=11000\n")
    share = mark.since()
    assert share is not None
    assert 0 < share <= 0.2


@pytest.mark.parametrize("text", [None, "", "full total=3\n", "some total=\n", "some avg10=0\n"])
def test_what_cannot_be_read_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    file = tmp_path / "cpu"
    if text is not None:
        file.write_text(text)
    monkeypatch.setattr(pressure, "FILE", file)
    mark = PressureMark.now()
    assert mark.waited_us is None
    assert mark.since() is None


def test_a_share_is_at_most_all_of_the_time() -> None:
    assert waited_share(500_000, 2.0) == 0.25
    assert waited_share(3_000_000, 2.0) == 1.0
    assert waited_share(None, 2.0) is None
    assert waited_share(0, 0.0) is None
