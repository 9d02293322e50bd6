"""``autorag profile`` as its users meet it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autorag.hardware import FIGURES, HardwareProfile
from collectors.hardware import read_identity
from collectors.hardware.profile import profile_path
from tests.api.command import Command
from tests.autorag.machines import profile


@pytest.fixture
def autorag(autorag: Command) -> Command:
    """The command with a home that remembers no profile."""
    (autorag.home / "hardware").unlink()
    return autorag


def remember(home: Path, known: HardwareProfile) -> HardwareProfile:
    """A profile of this machine in its home, with other figures."""
    identity, _ = read_identity()
    mine = HardwareProfile(identity, known.rates, known.missing, "full", 44.0, 1.7e9)
    path = profile_path(home, identity)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(mine.to_json()))
    return mine


def test_a_remembered_profile_is_shown_and_drawn(autorag: Command) -> None:
    remember(autorag.home, profile())
    ended = autorag.run_installed("profile")
    assert ended.code == 0, ended.err
    assert all(figure in ended.out for figure in FIGURES)
    assert "missing gpu: NVML: none" in ended.out
    assert "days ago" in ended.out
    page = autorag.temporary / "roofline.html"
    assert "roofline.html" in ended.out
    assert "flat scan 75%" in page.read_text()


def test_json_is_one_object_and_writes_nothing(autorag: Command) -> None:
    mine = remember(autorag.home, profile())
    row = autorag.run("profile", "--json").json()
    assert HardwareProfile.from_json(row) == mine
    assert not (autorag.temporary / "roofline.html").exists()


def test_the_plot_goes_where_it_is_wanted(autorag: Command, tmp_path: Path) -> None:
    remember(autorag.home, profile())
    plot = tmp_path / "new folder" / "mine.html"
    autorag.run("profile", "--json", "--plot", plot).json()
    assert plot.read_text().startswith("<!doctype html>")


def test_a_plot_that_cannot_be_written_is_refused_first(autorag: Command, tmp_path: Path) -> None:
    ended = autorag.run("profile", "--plot", tmp_path)
    assert ended.code == 2
    assert f"--plot {tmp_path}" in ended.err


def test_there_is_help(autorag: Command) -> None:
    ended = autorag.run_installed("profile", "--help")
    assert ended.code == 0
    assert all(option in ended.out for option in ("--again", "--plot", "--json"))


def test_a_static_embedder_made_since_is_added(autorag: Command) -> None:
    """The models are there; the remembered profile is from before."""
    whole = profile()
    rates = {f: r for f, r in whole.rates.items() if f != "static_tokens_s"}
    missing = {"static_tokens_s": "not made yet", "gpu": "none"}
    mine = remember(autorag.home, HardwareProfile(whole.identity, rates, missing))
    row = HardwareProfile.from_json(autorag.run("profile", "--json").json())
    assert row.rates["static_tokens_s"].median > 0
    assert row.missing == {"gpu": "none"}
    assert {f: r for f, r in row.rates.items() if f != "static_tokens_s"} == mine.rates
    again = HardwareProfile.from_json(autorag.run_installed("profile", "--json").json())
    assert again == row


@pytest.mark.slow
def test_a_machine_is_profiled_in_a_minute(autorag: Command) -> None:
    row = HardwareProfile.from_json(autorag.run("profile", "--json").json())
    assert row.seconds < 62
    assert set(row.rates) | set(row.missing) >= set(FIGURES)
    roofs = {f for f in FIGURES if f.startswith(("gemm", "copy", "triad", "random", "disk"))}
    assert roofs <= set(row.rates)
    assert row.identity.usable_cores >= 1
    assert HardwareProfile.from_json(autorag.run("profile", "--json").json()) == row
