"""Two metrics against each other: what each of the best trade-offs costs."""

from __future__ import annotations

from collections.abc import Sequence

from api.pages import charts
from api.pages.charts import Bound
from api.pages.page import (
    bound_text,
    chips,
    figure,
    finite_metric,
    html_table,
    knob_value,
    measured_cell,
    near,
    remark,
    slos_of,
)
from api.pages.report.study import ReportStudy, direction, trial_legend, trial_mark
from autorag.metrics import METRICS
from autorag.objective import Objective
from autorag.optimizer import pareto_trials
from autorag.ports import Trial

LATENCY = "latency_p95_ms"


def front_title(study: ReportStudy) -> str:
    """Of the section."""
    return "Quality against latency" if study.goal.beside is None else "The front"


def front(study: ReportStudy) -> str:
    """The plot and, where a front was asked for, its configs."""
    (across, up), goal = _axes(study.goal), study.goal
    shown = [
        t
        for t in study.trials
        if None not in (finite_metric(t, across), finite_metric(t, up)) and t.state == "finished"
    ]
    if not shown:
        return remark(f"No trial measured both {up} and {across}.")
    held = [t for t in shown if goal.feasible(t.metrics)]
    asked = goal.beside is not None and bool(held)
    best = pareto_trials(held if asked else shown, *(_wanted(goal, n) for n in (up, across)))
    slos = [*slos_of(goal, across), *slos_of(goal, up)]
    xs, ys = ([t.metrics[m] for t in shown] for m in (across, up))
    drawn = [s for s in slos if near(s.bound, xs if s.metric == across else ys)]
    far = "".join(
        f" The bound {bound_text(s)} lies outside the plot." for s in slos if s not in drawn
    )
    bounds = [Bound("x" if s.metric == across else "y", s.bound, bound_text(s)) for s in drawn]
    which = " of those that hold every SLO" if asked and goal.slos else ""
    note = f"Finished trials on the search queries; the line is the Pareto front{which}.{far}"
    table = _table(study, best) if asked else ""
    return remark(note) + _plot(study, shown, best, (across, up), bounds) + table


def _axes(goal: Objective) -> tuple[str, str]:
    """The metrics across and up: what is a ratio stands up."""
    if goal.beside is None:
        return LATENCY, next(n for n in (*goal.metrics, "ndcg_at_10") if n != LATENCY)
    first, second = goal.metric, goal.beside
    swapped = METRICS[first].unit and not METRICS[second].unit
    return (first, second) if swapped else (second, first)


def _wanted(goal: Objective, name: str) -> Objective:
    return Objective(name, direction(goal, name))


def _plot(
    study: ReportStudy,
    shown: Sequence[Trial],
    best: Sequence[Trial],
    axes: tuple[str, str],
    bounds: Sequence[Bound],
) -> str:
    across, up = axes
    xs, ys = (
        [*(t.metrics[name] for t in shown), *(b.value for b in bounds if b.axis == axis)]
        for name, axis in ((across, "x"), (up, "y"))
    )
    x, y = charts.axis_over(across, xs, may_log=True), charts.axis_over(up, ys)
    line = charts.staircase([(t.metrics[across], t.metrics[up]) for t in best])
    marks = [trial_mark(study, t, t.metrics[across], t.metrics[up], label=True) for t in shown]

    def draw(width: int) -> str:
        title = f"{up} against {across} of every finished trial"
        return charts.scatter(x, y, marks, name=title, width=width, line=line, bounds=bounds)

    return figure(draw) + trial_legend(marks, study.goal)


def _table(study: ReportStudy, best: Sequence[Trial]) -> str:
    goal, found = study.goal, study.outcome
    names = [one.metric for one in goal.each]
    roles = {found.default.number: "default", found.recommended.number: "recommended"}
    rows = [
        [
            str(t.number),
            chips(
                f"{k}={knob_value(v)}"
                for k, (_, v) in found.default.config.changed(t.config).items()
            ),
            *(measured_cell(goal, n, t) for n in names),
            roles.get(t.number, ""),
        ]
        for t in sorted(best, key=lambda t: goal.cost(t.metrics))
    ]
    head = (">trial", "against the default", *(f">{n}" for n in names), "")
    return html_table(head, rows)
