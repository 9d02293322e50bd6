"""The plots of the page: small SVG files, the same for the same table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.lessons.importance import Explained
from benchmarks.lessons.pseudo import Choice
from benchmarks.lessons.regret import Outcome

BLUE, ORANGE, GREY = "#2b6cb0", "#c05621", "#a0aec0"
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "autorag",
    "font.size": 9,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
}


@contextmanager
def figure(path: Path, width: float, height: float) -> Iterator[Any]:
    """Axes whose figure is written on leaving."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(_STYLE):
        drawn, axes = pyplot.subplots(figsize=(width, height), layout="constrained")
        yield axes
        drawn.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
        pyplot.close(drawn)


def heat(path: Path, matrix: np.ndarray, names: Sequence[str], title: str) -> None:
    """A square matrix of 0..1, rows against columns."""
    side = 1.8 + 0.36 * len(names)
    with figure(path, side + 0.6, side) as axes:
        drawn = axes.pcolormesh(matrix, cmap="YlOrRd", vmin=0, vmax=1, edgecolor="white", lw=0.3)
        for (i, j), value in np.ndenumerate(matrix):
            if np.isfinite(value):
                shade = "white" if value > 0.6 else "black"
                text = f"{value:.2f}".lstrip("0")
                axes.text(j + 0.5, i + 0.5, text, ha="center", va="center", color=shade, fontsize=7)
        at = np.arange(len(names)) + 0.5
        axes.set_xticks(at, names, rotation=60, ha="right", fontsize=8)
        axes.set_yticks(at, names, fontsize=8)
        axes.invert_yaxis()
        axes.set_aspect("equal")
        axes.set_title(title, fontsize=9)
        axes.figure.colorbar(drawn, ax=axes, shrink=0.6)


def shares(path: Path, panels: Mapping[str, Explained]) -> None:
    """Variance explained per factor and the largest pairs, one colour a panel; lines from the
    least to the most workload."""
    first = next(iter(panels.values()))
    largest = {p: max(float(e.pairs[p].mean()) for e in panels.values()) for p in first.pairs}
    pairs = sorted(largest, key=lambda p: -largest[p])[:4]
    names = [*first.mains, *(f"{a} × {b}" for a, b in pairs)]
    with figure(path, 7, 0.9 + 0.36 * len(names)) as axes:
        for k, (title, found) in enumerate(panels.items()):
            values = [*found.mains.values(), *(found.pairs[p] for p in pairs)]
            means = np.array([v.mean() for v in values])
            ends = np.array([[v.min(), v.max()] for v in values])
            at = np.arange(len(names)) + 0.36 * k - 0.18
            colour = (BLUE, ORANGE)[k % 2]
            axes.barh(at, means, 0.34, color=colour, label=title)
            axes.hlines(at, ends[:, 0], ends[:, 1], color="black", lw=0.8)
        axes.set_yticks(np.arange(len(names)), names)
        axes.invert_yaxis()
        axes.set_xlabel("share of variance within a workload")
        axes.grid(axis="x", color="#e2e8f0")
        axes.legend(frameon=False, loc="lower right")


def regrets(path: Path, found: Sequence[Outcome]) -> None:
    """One point a task for every chooser, and its mean."""
    names = list(dict.fromkeys(o.chooser for o in found))
    rng = np.random.default_rng(0)
    with figure(path, 7, 0.8 + 0.38 * len(names)) as axes:
        for i, name in enumerate(names):
            values = np.array([o.regret for o in found if o.chooser == name])
            jitter = rng.uniform(-0.25, 0.25, len(values))
            axes.plot(values, i + jitter, "o", ms=2.2, color=GREY, mew=0)
            axes.plot([values.mean()] * 2, [i - 0.32, i + 0.32], color=ORANGE, lw=2)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_xlim(-0.02, 1.02)
        axes.set_xlabel("normalised regret (0 best, 1 worst that holds the SLOs); bar: mean")
        axes.grid(axis="x", color="#e2e8f0")


def noise(path: Path, distances: Mapping[str, np.ndarray]) -> None:
    """Cumulative share of pairs of repeats by their relative distance."""
    with figure(path, 6, 3.2) as axes:
        for name, values in distances.items():
            ordered = np.quantile(values, np.linspace(0, 1, 101))
            axes.plot(ordered, np.linspace(0, 1, 101), label=name, lw=1.4)
        axes.set_xscale("log")
        axes.set_xlabel("difference of two repeats, relative to their mean")
        axes.set_ylabel("share of configs below")
        axes.grid(color="#e2e8f0")
        axes.legend(frameon=False)


def correlations(path: Path, found: Sequence[Choice]) -> None:
    """Per workload, how pseudo-queries and labelled ones rank configs."""
    ordered = sorted(found, key=lambda c: c.rank)
    with figure(path, 6, 0.9 + 0.25 * len(ordered)) as axes:
        at = range(len(ordered))
        axes.hlines(at, [c.rank for c in ordered], [c.ceiling for c in ordered], color="#e2e8f0")
        axes.plot([c.rank for c in ordered], at, "o", ms=4, color=BLUE, label="pseudo with real")
        axes.plot(
            [c.ceiling for c in ordered], at, "|", ms=9, color=ORANGE, label="halves of the real"
        )
        axes.set_yticks(at, [c.workload for c in ordered])
        axes.set_xlabel("Spearman's correlation over configs")
        axes.legend(frameon=False, loc="lower left")
