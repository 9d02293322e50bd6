"""What a report is made from, and how its trials are told and drawn everywhere on the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

from api.pages import charts
from api.pages.charts import Kind, Mark
from api.pages.page import moved_knobs, number_text
from autorag.evaluation.paired import Interval
from autorag.importance import Importance
from autorag.objective import Direction, Objective, natural_direction
from autorag.optimizer import best_trial
from autorag.outcome import Outcome
from autorag.ports import Trial
from autorag.study import PROPOSED


@dataclass(frozen=True)
class ReportStudy:
    """A finished study.

    Attributes:
        workload: ``name``, ``documents``, ``queries``, ``query_source``, ``hash``.
        trials: all, on the search queries; number 0 is the default config.
        importance: of each metric that is optimised.
        seconds: of the whole run.
    """

    workload: Mapping[str, Any]
    outcome: Outcome
    trials: Sequence[Trial]
    importance: Sequence[Importance]
    seconds: float
    seed: int
    report_queries: int
    search_queries: int

    @property
    def goal(self) -> Objective:
        return self.outcome.objective

    @property
    def questions(self) -> str:
        """What a query of this workload is called."""
        return "pseudo-queries" if self.workload["query_source"] == "pseudo" else "questions"

    @cached_property
    def incumbents(self) -> Sequence[tuple[Trial, Trial]]:
        """Each trial that became the best one so far, with the one that had just ended: another
        where the end of a front moved."""
        done = sorted((t for t in self.trials if t.state == "finished"), key=lambda t: t.number)
        found: list[tuple[Trial, Trial]] = []
        for i, ended in enumerate(done):
            best = best_trial(done[: i + 1], self.goal)
            if not found or found[-1][0] is not best:
                found.append((best, ended))
        return found

    @cached_property
    def ended_s(self) -> Mapping[int, float]:
        """Trial number → seconds of measuring until its end."""
        ends = accumulate(t.seconds for t in self.trials)
        return {t.number: end for t, end in zip(self.trials, ends, strict=True)}


def better(goal: Objective, name: str, gap: Interval) -> bool:
    """Whether a difference that is no chance is one for the better."""
    return (gap.low > 0) == (direction(goal, name) == "max")


def direction(goal: Objective, name: str) -> Direction:
    """In which direction a metric is better, by the objective or by its nature."""
    for one in goal.each:
        if one.metric == name:
            return one.direction
    return natural_direction(name)


def state_text(trial: Trial) -> str:
    """How a trial ended; of a reason that is a traceback, the last line."""
    lines = (trial.reason or "").strip().splitlines()
    state = f"{trial.state}, machine busy" if trial.busy else trial.state
    return f"{state}: {lines[-1]}" if lines else state


def why_text(trial: Trial) -> str:
    """Why it was made, where that is known."""
    return str((trial.conditions.get(PROPOSED) or {}).get("why") or "")


def expected_s(trial: Trial) -> float | None:
    """Seconds that it was expected to take, where that is known."""
    seconds = (trial.conditions.get(PROPOSED) or {}).get("seconds")
    return None if seconds is None else float(seconds)


def trial_mark(
    study: ReportStudy, t: Trial, x: float, y: float | None, *, label: bool = False
) -> Mark:
    """A trial as a point."""
    found = study.outcome
    names = [
        name
        for name, trial in (("default", found.default), ("recommended", found.recommended))
        if trial.number == t.number
    ]
    kind: Any = names[-1] if names else "trial"
    if t.state != "finished":
        kind = "failed" if t.state == "failed" else "skipped"
    ok = t.state == "finished" and study.goal.feasible(t.metrics)
    numbers = (f"{m} {number_text(m, t.metrics.get(m))}" for m in study.goal.metrics)
    state = ", ".join(numbers) if t.state == "finished" else state_text(t)
    moves = moved_knobs(found.default.config, t.config) or ["the default config"]
    tip = "\n".join([f"trial {t.number}: {state}", *moves])
    return Mark(x, y, kind, tip, ok, " = ".join(names) if label else "")


def trial_legend(marks: Iterable[Mark], goal: Objective) -> str:
    """What the marks that occur mean."""
    texts: dict[tuple[Kind, bool], str] = {
        ("default", True): "default",
        ("default", False): "default, misses an SLO",
        ("recommended", True): "recommended",
        ("recommended", False): "recommended, misses an SLO",
        ("trial", True): "holds every SLO" if goal.slos else "trial",
        ("trial", False): "misses an SLO",
        ("failed", False): "failed",
        ("skipped", False): "skipped",
    }
    present = {(m.kind, m.ok) for m in marks}
    return charts.legend((*key, text) for key, text in texts.items() if key in present)
