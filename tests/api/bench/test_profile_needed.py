"""Times are not taken under a profile that is not whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from api.bench.collect import Collection, collect
from api.settings import Settings
from api.wiring import make_parts
from autorag.errors import InputError
from autorag.hardware import HardwareProfile
from tests.autorag.machines import profile

BUSY = {"hnsw_distances_s": "not measured within 42 s"}
SLOW_GENERATOR = {"decode_one_tokens_s": "not measured within 42 s", "gpu": "NVML: none"}


def collection(home: Path, missing: dict[str, str], repeats: int) -> Collection:
    known: HardwareProfile = replace(profile(), missing=missing)
    parts = make_parts(Settings(home=home), 0)
    return Collection(parts, known, home / "table", repeats, lambda *_: None, lambda _: None)


def test_a_profile_of_a_busy_machine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lacks hnsw_distances_s: autorag profile") as refused:
        collect([], collection(tmp_path, BUSY, 1))
    assert (refused.value.key, refused.value.value) == ("hardware", "hnsw_distances_s")


def test_quality_needs_no_profile_and_retrieval_no_generator(tmp_path: Path) -> None:
    collect([], collection(tmp_path, BUSY, 0))
    collect([], collection(tmp_path, SLOW_GENERATOR, 1))
