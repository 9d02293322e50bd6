"""How good the best config was after so many seconds of measuring.

Of one metric it is the best value that holds every SLO; its regret is the distance to the best that
the study found in the end. Of two metrics it is the hypervolume: the area that the front so far
dominates, up to a tenth of the range beyond the worst that was measured, as a share of what the
whole front dominates. Times, memory and tokens count by their logarithms there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from api.pages import charts
from api.pages.charts import Axis, Beside, Mark, Point
from api.pages.page import figure, finite_metric, number_text, remark
from api.pages.report.study import ReportStudy, trial_legend, trial_mark
from autorag.objective import Objective
from autorag.optimizer.acquisition import hypervolume
from autorag.optimizer.scales import Floats, scale
from autorag.ports import Trial

BEYOND = 0.1
HYPERVOLUME = "share of the whole front's hypervolume"


def progress(study: ReportStudy) -> str:
    """The chart with what there is to say of it."""
    measured = [t for t in study.trials if t.state == "finished"]
    if len(measured) == 1:
        return remark("Only the default was measured.")
    held = [t for t in measured if study.goal.feasible(t.metrics)]
    held = [t for t in held if all(finite_metric(t, o.metric) is not None for o in study.goal.each)]
    if not held:
        return remark("No trial holds every SLO: there is no best one to follow.")
    one = study.goal.beside is None
    steps = list(_best(study.goal, held) if one else _area(study.goal, held))
    drawn = _of_one_metric(study, steps) if one else _of_two(study, steps)
    return remark(_said(study, steps)) + drawn


Steps = Sequence[tuple[Trial, float]]
"""Trials at which it got better, and what it was from then on."""


def _best(goal: Objective, held: Sequence[Trial]) -> Iterator[tuple[Trial, float]]:
    best: Trial | None = None
    for trial in held:
        if best is None or goal.cost(trial.metrics) < goal.cost(best.metrics):
            best = trial
            yield trial, trial.metrics[goal.metric]


def _area(goal: Objective, held: Sequence[Trial]) -> Iterator[tuple[Trial, float]]:
    """Shares of the hypervolume."""
    points = np.stack([_costs(one, held) for one in goal.each], axis=1)
    worst, span = points.max(axis=0), np.ptp(points, axis=0)
    first, second = (worst + BEYOND * np.where(span > 0, span, 1.0)).tolist()
    areas = [hypervolume(points[: i + 1], (first, second)) for i in range(len(points))]
    last = 0.0
    for trial, area in zip(held, areas, strict=True):
        if area > last:
            last = area
            yield trial, area / areas[-1]


def _costs(one: Objective, trials: Sequence[Trial]) -> Floats:
    """What is to be small of a metric, on its scale, ``(n,)``."""
    values = scale(one.metric, 1).of(np.array([t.metrics[one.metric] for t in trials]))
    return -values if one.direction == "max" else values


def _of_one_metric(study: ReportStudy, steps: Steps) -> str:
    name = study.goal.metric
    marks = [
        trial_mark(study, t, study.ended_s[after.number], value, label=True)
        for t, after in _changes(study)
        if (value := finite_metric(t, name)) is not None
    ]
    y = charts.axis_over(name, [v for _, v in steps] + [m.y for m in marks if m.y is not None])
    return _drawn(study, steps, y, marks, name, _regret(study.goal, steps, y))


def _changes(study: ReportStudy) -> Sequence[tuple[Trial, Trial]]:
    """The trials that would have been recommended, each with the one that had just ended."""
    last = study.outcome.recommended
    known = any(t.number == last.number for t, _ in study.incumbents)
    return study.incumbents if known else [*study.incumbents, (last, last)]


def _regret(goal: Objective, steps: Steps, y: Axis) -> Beside:
    best = steps[-1][1]
    most = best - y.low if goal.direction == "max" else y.high - best
    ticks = [r for r in Axis("regret", 0.0, most).ticks(5) if r >= 0]
    sign = -1.0 if goal.direction == "max" else 1.0
    return Beside("regret", [(best + sign * r, f"{r:.6g}") for r in ticks])


def _of_two(study: ReportStudy, steps: Steps) -> str:
    marks = []
    for trial, after in _changes(study):
        so_far = [share for t, share in steps if t.number <= after.number]
        at, height = study.ended_s[after.number], so_far[-1] if so_far else None
        marks.append(trial_mark(study, trial, at, height, label=True))
    return _drawn(study, steps, Axis(HYPERVOLUME, -0.05, 1.08), marks, "hypervolume", None)


def _drawn(
    study: ReportStudy,
    steps: Steps,
    y: Axis,
    marks: Sequence[Mark],
    name: str,
    beside: Beside | None,
) -> str:
    ends, total = study.ended_s, max(study.ended_s.values())
    x = charts.axis_over("seconds of measuring", [*(m.x for m in marks), total], may_log=True)
    x = x if x.log else Axis(x.title, 0.0, total * 1.05 or 1.0)
    points: list[Point] = [(ends[t.number], value) for t, value in steps]
    line = charts.staircase(points, end=total)

    def draw(width: int) -> str:
        title = f"best {name} so far over seconds"
        return charts.scatter(x, y, marks, name=title, width=width, line=line, beside=beside)

    return figure(draw) + trial_legend(marks, study.goal)


def _said(study: ReportStudy, steps: Steps) -> str:
    last, total = study.ended_s[steps[-1][0].number], max(study.ended_s.values())
    spent = f"{total:.0f} s of measuring"
    news = f"The last improvement came after {last:.0f} of {spent}."
    if len(steps) == 1 and steps[0][0].number == 0:
        news = f"Nothing was better than the default in {spent}."
    points = "Points: where the config to recommend changed."
    return f"{_followed(study.goal, steps[-1][1])} {news} {points}"


def _followed(goal: Objective, end: float) -> str:
    """What the line is."""
    if goal.beside is not None:
        where = ", of what holds every SLO" if goal.slos else ""
        return f"The line is how much the front so far dominates{where}, on the search queries."
    holding = " that holds every SLO" if goal.slos else ""
    found = number_text(goal.metric, end)
    return (
        f"The line is the best {goal.metric}{holding} so far on the search queries, {found} in the "
        "end; regret is the distance to that."
    )
