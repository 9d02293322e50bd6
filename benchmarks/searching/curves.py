"""Plots of searches: mean regret against what was spent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.lessons.figures import BLUE, ORANGE, figure
from benchmarks.searching.peers import BAYESIAN, PLAIN
from benchmarks.searching.summary import Runs

_COLOURS = {BAYESIAN: ORANGE, PLAIN: BLUE}
_OTHERS = ("#718096", "#38a169", "#805ad5", "#d69e2e", "#319795", "#97266d", "#744210", "#a0aec0")
_STYLES = ("-", "--", ":", "-.")


def over_evaluations(path: Path, runs: Mapping[str, Runs]) -> None:
    """Mean regret after every evaluation."""
    with figure(path, 7, 4) as axes:
        for name, style in _styles(runs).items():
            mean = runs[name].regret.mean(axis=0)
            axes.plot(np.arange(len(mean)), mean, label=name, **style)
        _finish(axes, "evaluations beside the default config")


def over_seconds(path: Path, runs: Mapping[str, Runs]) -> None:
    """Mean regret after seconds of measuring, on a logarithmic scale."""
    at = np.geomspace(1.0, 1000.0, 121)
    with figure(path, 7, 4) as axes:
        for name, style in _styles(runs).items():
            r = runs[name]
            rows = np.arange(len(r.searches))
            mean = [r.regret[rows, r.after(seconds)].mean() for seconds in at]
            axes.plot(at, mean, label=name, **style)
        axes.set_xscale("log")
        _finish(axes, "seconds of measuring")


def _styles(runs: Mapping[str, Runs]) -> dict[str, dict[str, Any]]:
    """Colour and line of every strategy; the optimizer, with and without prior, stands out."""
    others = [name for name in runs if name not in _COLOURS]
    drawn: dict[str, dict[str, Any]] = {
        name: {"color": _OTHERS[i % len(_OTHERS)], "ls": _STYLES[i % len(_STYLES)], "lw": 1.1}
        for i, name in enumerate(others)
    }
    return drawn | {n: {"color": c, "lw": 2.0} for n, c in _COLOURS.items() if n in runs}


def _finish(axes: Any, unit: str) -> None:
    axes.set_xlabel(unit)
    axes.set_ylabel("mean normalised regret")
    axes.set_ylim(bottom=0.0)
    axes.grid(color="#e2e8f0")
    axes.legend(frameon=False, fontsize=8, ncol=2)
