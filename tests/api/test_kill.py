"""``kill -9`` of a real study: what is run again ends as if nothing had happened."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

from benchmarks.kill_resume import MOST_S, Home, Tuning, differences

SEED = 3


def kill_in_trial(tuning: Tuning, home: Home, number: int, delay_s: float) -> None:
    """Kill the study a moment after it started a trial of this number or a later one."""
    with home.start(tuning) as study:
        until = time.monotonic() + MOST_S
        while not any(row[1] >= number for row in home.running()):
            assert study.poll() is None
            assert time.monotonic() < until
            time.sleep(0.02)
        time.sleep(delay_s)
        study.kill()
        assert study.wait() == -signal.SIGKILL


def test_a_study_killed_again_and_again_ends_as_an_undisturbed_one(
    docs: Path, models: Path, tmp_path: Path
) -> None:
    tuning = Tuning(docs, "random", trials=5, seed=SEED, max_queries=500)
    truth, killed = (Home.make(tmp_path / name, models) for name in ("truth", "killed"))
    assert truth.run(tuning)
    assert [row[1] for row in truth.trials()].count("search") == 6
    moments = random.Random(SEED)
    for number in (0, 2, 4):
        kill_in_trial(tuning, killed, number, moments.uniform(0.0, 0.5))
        assert killed.left_behind() == []
    assert killed.run(tuning)
    assert differences(truth, killed) == []


def test_killing_a_study_that_prepares_models_leaves_no_process(docs: Path, tmp_path: Path) -> None:
    (tmp_path / "no-models").mkdir()
    home = Home.make(tmp_path / "home", tmp_path / "no-models")
    with home.start(Tuning(docs, "random", trials=1, seed=SEED, max_queries=500)) as study:
        until = time.monotonic() + 20
        while len(home.processes()) < 2 and time.monotonic() < until:
            time.sleep(0.02)
        assert len(home.processes()) == 2
        study.kill()
    left = home.left_behind(within_s=1.0)
    for process in left:
        os.kill(process, signal.SIGKILL)
    assert left == []
