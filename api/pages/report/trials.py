"""Everything that was tried: a chart and a table with why, and how long it took."""

from __future__ import annotations

from html import escape

from api.pages import charts
from api.pages.charts import Axis
from api.pages.page import (
    chips,
    figure,
    finite_metric,
    html_table,
    knob_value,
    measured_cell,
    remark,
)
from api.pages.report.study import (
    ReportStudy,
    expected_s,
    state_text,
    trial_legend,
    trial_mark,
    why_text,
)
from autorag.ports import Trial

OPEN = 30
"""Trials up to which the table is open."""


def every_trial(study: ReportStudy) -> str:
    """A chart of each metric that is optimised, and the table."""
    if study.goal.beside is not None:
        drawn = "".join(_chart(study, one.metric, line=False) for one in study.goal.each)
        return remark("On the search queries.") + drawn + _table(study)
    note = remark("On the search queries; the line is the best so far, SLOs first.")
    return note + _chart(study, study.goal.metric, line=True) + _table(study)


def _chart(study: ReportStudy, name: str, *, line: bool) -> str:
    ys = [v for t in study.trials if (v := finite_metric(t, name)) is not None] or [0.0]
    y = charts.axis_over(name, [*ys, min(ys) - 0.1 * (max(ys) - min(ys))])
    x = Axis("trial", -0.7, max(t.number for t in study.trials) + 0.7, whole=True)
    marks = [trial_mark(study, t, t.number, finite_metric(t, name)) for t in study.trials]
    best = [(t.number, v) for t, _ in study.incumbents if (v := finite_metric(t, name)) is not None]
    path = charts.staircase(best, end=x.high) if line else []

    def draw(width: int) -> str:
        return charts.scatter(x, y, marks, name=f"{name} by trial", width=width, line=path)

    return figure(draw) + trial_legend(marks, study.goal)


def _table(study: ReportStudy) -> str:
    metrics = (f">{m}" for m in study.goal.metrics)
    told = any(expected_s(t) is not None for t in study.trials)
    seconds = ">seconds (expected)" if told else ">seconds"
    head = (">trial", "against the default", *metrics, seconds, "reused", "state")
    rows = (_row(study, t) for t in study.trials)
    opened = " open" if len(study.trials) <= OPEN else ""
    count = f"All {len(study.trials)} trials"
    return f"<details{opened}><summary>{count}</summary>{html_table(head, rows)}</details>"


def _row(study: ReportStudy, t: Trial) -> list[str]:
    goal, first = study.goal, study.outcome.default.config
    why, expected = why_text(t), expected_s(t)
    moves = chips(f"{k}={knob_value(v)}" for k, (_, v) in first.changed(t.config).items())
    return [
        str(t.number),
        moves + (f'<div class="because">{escape(why)}</div>' if why else ""),
        *(measured_cell(goal, m, t) if t.state == "finished" else "" for m in goal.metrics),
        f"{t.seconds:.1f}" + (f" ({expected:.1f})" if expected is not None else ""),
        escape(", ".join(t.reused)) or "—",
        f'<div class="why">{escape(state_text(t))}</div>',
    ]
