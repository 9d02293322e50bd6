"""What finished searches say together: made from the file of searches alone.

A search that ended keeps what it recommended last. Means are over searches, that is over tasks and
seeds. The *worst task* is the one with the largest mean over seeds. *Held* is the share of
searches, on tasks that have bounds, whose config holds all of them when judged, without tolerance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from autorag.optimizer.scales import Floats
from benchmarks.accuracy.choices import interval
from benchmarks.lessons.page import percent, table
from benchmarks.searching.draft import Protocol, Search
from benchmarks.searching.peers import BAYESIAN, PEERS, PLAIN

EVALUATIONS = (0, 1, 2, 3, 5, 10, 20, 50)
SECONDS = (10, 30, 60, 120, 300, 600)

TARGET_AT = 25
"""What plain Gaussian processes reach by mean with so many evaluations, others are timed to."""

HARM_AT, HARM = 10, 0.05
"""A prior harms a search that regrets so much more than the one without after so many."""

COMPARED_AT = (3, 10)


@dataclass(frozen=True)
class Runs:
    """The searches of one strategy.

    Attributes:
        most: evaluations that a search may have.
    """

    searches: Sequence[Search]
    most: int

    @cached_property
    def regret(self) -> Floats:
        """After 0, 1, ... evaluations, ``(searches, most + 1)``."""
        return np.stack([self._whole(s.regret) for s in self.searches])

    @cached_property
    def holds(self) -> Floats:
        """1 where all bounds hold, NaN where there are none, ``(searches, most + 1)``."""
        held = np.stack([self._whole(s.holds) for s in self.searches])
        held[[not s.bounded for s in self.searches]] = np.nan
        return held

    @cached_property
    def tasks(self) -> np.ndarray:
        """A number for the task of every search."""
        names = ["\n".join((s.workload, s.slos, s.half)) for s in self.searches]
        numbers: np.ndarray = np.unique(names, return_inverse=True)[1]
        return numbers

    @property
    def corpora(self) -> list[str]:
        return [s.corpus for s in self.searches]

    def after(self, seconds: float) -> np.ndarray:
        """Evaluations that are finished after so many seconds of measuring, ``(searches,)``."""
        ended = [np.searchsorted(s.seconds, seconds, side="right") - 1 for s in self.searches]
        return np.array(ended, dtype=np.intp)

    def deciding(self) -> float:
        """Mean seconds of deciding a proposal; NaN where none was made."""
        each = [s.thought[-1] / (len(s.thought) - 1) for s in self.searches if len(s.thought) > 1]
        return float(np.mean(each)) if each else np.nan

    def _whole(self, values: Sequence[float]) -> Floats:
        kept = [values[min(i, len(values) - 1)] for i in range(self.most + 1)]
        return np.array(kept, dtype=np.float64)


Statistic = Callable[[Floats, Floats, np.ndarray], float]
"""Of regrets, bounds held and tasks, ``(searches,)`` each."""


def _worst_task(regret: Floats, holds: Floats, tasks: np.ndarray) -> float:
    return float((np.bincount(tasks, regret) / np.bincount(tasks)).max())


def _held(regret: Floats, holds: Floats, tasks: np.ndarray) -> float:
    known = holds[np.isfinite(holds)]
    return float(known.mean()) if known.size else np.nan


STATISTICS: Mapping[str, Statistic] = {
    "mean regret": lambda regret, holds, tasks: float(regret.mean()),
    "median regret": lambda regret, holds, tasks: float(np.median(regret)),
    "regret on the worst task": _worst_task,
    "regret of the worst search": lambda regret, holds, tasks: float(regret.max()),
    "held": _held,
}


def by_strategy(protocol: Protocol, searches: Sequence[Search]) -> dict[str, Runs]:
    """The searches of every strategy that has some."""
    found = {name: [s for s in searches if s.strategy == name] for name in PEERS}
    return {name: Runs(some, protocol.most) for name, some in found.items() if some}


def columns(protocol: Protocol) -> tuple[list[int], list[int]]:
    """Numbers of evaluations and of seconds at which searches are looked at."""
    return [n for n in EVALUATIONS if n <= protocol.most], list(SECONDS)


# -- numbers --------------------------------------------------------------------------------


def numbers(protocol: Protocol, searches: Sequence[Search]) -> dict[str, Any]:
    """All figures, for a file."""
    runs = by_strategy(protocol, searches)
    evaluations, seconds = columns(protocol)
    return {
        "searches": {name: len(r.searches) for name, r in runs.items()},
        "evaluations": {"at": evaluations, **_everything(runs, evaluations, _at_evaluations)},
        "seconds": {"at": seconds, **_everything(runs, seconds, Runs.after)},
        "until": until_target(runs),
        "harmed": harmed(runs),
        "compared": compared(runs),
        "deciding_s": {name: _known(r.deciding()) for name, r in runs.items()},
        "stopped": {name: _stopped(r) for name, r in runs.items()},
    }


def until_target(runs: Mapping[str, Runs]) -> dict[str, int | None]:
    """Evaluations until the mean regret is that of plain Gaussian processes at ``TARGET_AT``; None
    where it never is."""
    target = target_regret(runs)
    if target is None:
        return {}
    found: dict[str, int | None] = {}
    for name, r in runs.items():
        (there,) = np.nonzero(r.regret.mean(axis=0) <= target)
        found[name] = int(there[0]) if there.size else None
    return found


def target_regret(runs: Mapping[str, Runs]) -> float | None:
    """What others are timed to; None without searches of plain Gaussian processes."""
    if PLAIN not in runs:
        return None
    plain = runs[PLAIN]
    return float(plain.regret.mean(axis=0)[min(TARGET_AT, plain.most)])


def harmed(runs: Mapping[str, Runs]) -> float | None:
    """Share of (task, seed) on which the prior harms; None without both kinds."""
    if PLAIN not in runs or BAYESIAN not in runs:
        return None
    more, _ = differences(runs[BAYESIAN], runs[PLAIN], HARM_AT)
    return float((more > HARM).mean()) if more.size else None


def compared(runs: Mapping[str, Runs]) -> dict[str, dict[str, list[float]]]:
    """Strategy → mean, low and high end of regret, and of the optimizer's less its, at
    ``COMPARED_AT``; ends are of 95 % bootstrap intervals over corpora."""
    found: dict[str, dict[str, list[float]]] = {}
    for name, r in runs.items():
        told = found.setdefault(name, {})
        for at in (n for n in COMPARED_AT if n <= r.most):
            told[f"mean at {at}"] = _with_ends(r.regret[:, at], r.corpora)
            if BAYESIAN in runs and name != BAYESIAN:
                less, corpora = differences(runs[BAYESIAN], r, at)
                if less.size:
                    told[f"difference at {at}"] = _with_ends(less, corpora)
    return found


def differences(one: Runs, other: Runs, at: int) -> tuple[Floats, list[str]]:
    """Regret of one strategy less another's where both searched, with the corpora."""
    at = min(at, one.most)
    known = {s.paired: v for s, v in zip(other.searches, other.regret[:, at], strict=True)}
    both = [(i, s) for i, s in enumerate(one.searches) if s.paired in known]
    less = np.array([one.regret[i, at] - known[s.paired] for i, s in both])
    return less, [s.corpus for _, s in both]


def _with_ends(values: Floats, corpora: Sequence[str]) -> list[float]:
    return [float(values.mean()), *interval(values, corpora)]


def _everything(
    runs: Mapping[str, Runs], at: Sequence[int], ended: Callable[[Runs, int], np.ndarray]
) -> dict[str, dict[str, list[float | None]]]:
    """Statistic → strategy → a value for every column.

    Args:
        ended: evaluations of every search at a column.
    """
    found: dict[str, dict[str, list[float | None]]] = {name: {} for name in STATISTICS}
    for strategy, r in runs.items():
        rows = np.arange(len(r.searches))
        cells = [(r.regret[rows, e], r.holds[rows, e]) for e in (ended(r, n) for n in at)]
        for name, of in STATISTICS.items():
            found[name][strategy] = [_known(of(*cell, r.tasks)) for cell in cells]
    return found


def _at_evaluations(runs: Runs, evaluations: int) -> np.ndarray:
    return np.full(len(runs.searches), evaluations, dtype=np.intp)


def _known(value: float) -> float | None:
    return round(value, 5) if np.isfinite(value) else None


def _stopped(runs: Runs) -> float:
    return float(np.mean([bool(s.stopped) for s in runs.searches]))


# -- tables ---------------------------------------------------------------------------------


def report(told: Mapping[str, Any], protocol: Protocol) -> str:
    """The tables, in Markdown, of what :func:`numbers` gives."""
    parts = [
        *_curves("evaluations", told["evaluations"]),
        *_curves("seconds of measuring", told["seconds"]),
        f"## Evaluations until plain Gaussian processes' mean regret at "
        f"{min(TARGET_AT, protocol.most)}, and seconds of deciding\n\n{_costs(told)}",
    ]
    if told["harmed"] is not None:
        at = min(HARM_AT, protocol.most)
        parts.append(
            f"## Negative transfer\n\n{percent(told['harmed'])} of searches regret {HARM} more "
            f"after {at} evaluations with the prior than without."
        )
    parts.append(f"## Mean regret, 95 % over corpora\n\n{_compared(told['compared'])}")
    return "\n\n".join(parts)


def _curves(unit: str, told: Mapping[str, Any]) -> Iterator[str]:
    yield f"## After so many {unit}"
    for name in STATISTICS:
        shown = percent if name == "held" else "{:.3f}".format
        rows = [
            (strategy, *("–" if v is None else shown(v) for v in values))
            for strategy, values in told[name].items()
        ]
        yield f"{name}:\n\n{table(('strategy', *map(str, told['at'])), rows)}"


def _costs(told: Mapping[str, Any]) -> str:
    rows = [
        (
            name,
            count,
            percent(told["stopped"][name]),
            _or_dash(told["until"].get(name), "{}"),
            _or_dash(told["deciding_s"][name], "{:.3f}"),
        )
        for name, count in told["searches"].items()
    ]
    headings = ("strategy", "searches", "ended by themselves", "evaluations", "s a proposal")
    return table(headings, rows)


def _compared(told: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    every = list(dict.fromkeys(heading for cells in told.values() for heading in cells))
    headings = sorted(every, key=lambda h: h.startswith("difference"))
    rows = [
        (name, *(_interval(cells[h]) if h in cells else "–" for h in headings))
        for name, cells in told.items()
    ]
    named = (h.replace("difference", f"{BAYESIAN} less it") for h in headings)
    return table(("strategy", *named), rows)


def _interval(ends: Sequence[float]) -> str:
    mean, low, high = ends
    return f"{mean:.3f} ({low:.3f} to {high:.3f})"


def _or_dash(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)
