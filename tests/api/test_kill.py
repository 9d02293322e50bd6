"""``kill -9`` of a real study: what is run again ends as if nothing had happened."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

from benchmarks.kill_resume import Home, Tuning, differences

KILLS = 3
SEED = 3


def undisturbed(tuning: Tuning, home: Home) -> float:
    """Seconds that the whole study takes."""
    started = time.monotonic()
    assert home.run(tuning)
    return time.monotonic() - started


def test_a_study_killed_again_and_again_ends_as_an_undisturbed_one(
    docs: Path, models: Path, tmp_path: Path
) -> None:
    tuning = Tuning(docs, "random", trials=5, seed=SEED, max_queries=500)
    truth, killed = (Home.make(tmp_path / name, models) for name in ("truth", "killed"))
    seconds = undisturbed(tuning, truth)
    assert [row[1] for row in truth.trials()].count("search") == 6
    moments = random.Random(SEED)
    for _ in range(KILLS):
        assert not killed.run(tuning, moments.uniform(0.1, 0.4) * seconds)
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
