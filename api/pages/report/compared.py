"""The default against the recommended config: metrics, knobs, and the steps from one to the
other."""

from __future__ import annotations

import math
from html import escape

from api.pages.page import (
    chips,
    code,
    html_table,
    interval_text,
    knob_value,
    measured_cell,
    moved_knobs,
    number_text,
    remark,
    signed_text,
    slos_of,
)
from api.pages.report.study import ReportStudy, better
from autorag.evaluation.paired import Interval
from autorag.metrics import METRICS
from autorag.objective import Objective
from autorag.outcome import ONE_NOISY_NUMBER, Outcome
from autorag.ports import Trial
from autorag.stages import STAGES


def metrics_table(study: ReportStudy) -> str:
    """Every metric of both."""
    found = study.outcome
    trials = (found.default_report, found.recommended_report)
    named = dict.fromkeys([*found.objective.metrics, *METRICS])
    names = [
        n for n in named if n in found.objective.metrics or any(n in t.metrics for t in trials)
    ]
    head = (
        "metric",
        "unit",
        "SLO",
        ">default",
        ">recommended",
        ">difference",
        ">95 % interval",
        "",
    )
    table = html_table(head, [_metric_row(found, name) for name in names])
    return remark(f"On the {study.report_queries} {study.questions} kept for the report.") + table


def _metric_row(found: Outcome, name: str) -> list[str]:
    known, goal, gap = METRICS[name], found.objective, found.difference.get(name)
    sides = [measured_cell(goal, name, t) for t in (found.default_report, found.recommended_report)]
    bounds = ", ".join(f"{'≤' if s.at_most else '≥'} {s.bound:g}" for s in slos_of(goal, name))
    label = f'<span title="{escape(known.meaning)}">{name}</span>'
    wanted = any(name == one.metric for one in goal.each)
    row = [f"<b>{label}</b>" if wanted else label, known.unit, bounds, *sides]
    if gap is None:
        why = "varies from run to run" if name in ONE_NOISY_NUMBER else "not measured for both"
        return [*row, "—", "—", why]
    interval = (
        interval_text(name, gap) if gap.low < gap.high else "one number a run" if gap.value else "—"
    )
    return [*row, signed_text(name, gap.value), interval, _judged(goal, name, gap)]


def _judged(goal: Objective, name: str, gap: Interval) -> str:
    if gap.low == gap.high == 0:
        return '<span class="even">= same</span>'
    if not gap.distinguishable:
        return '<span class="even">≈ not distinguishable</span>'
    if better(goal, name, gap):
        return '<span class="good">▲ better</span>'
    return '<span class="bad">▼ worse</span>'


def knobs_table(found: Outcome) -> str:
    """The knobs that differ."""
    changed = found.default.config.changed(found.recommended.config)
    if not changed:
        return remark("Nothing: the default config is recommended.")
    knobs = sorted(changed, key=_stage_order)
    cells = ([code(k), *(escape(knob_value(v)) for v in changed[k])] for k in knobs)
    return html_table(("knob", "default", "recommended"), cells)


def _stage_order(knob: str) -> int:
    stage = knob.split(".")[0]
    return [*STAGES, stage].index(stage)


def steps_table(study: ReportStudy) -> str:
    """The trials that became the best so far, with what each of them gained."""
    goal, last = study.goal, None
    rows = []
    for trial, _ in study.incumbents:
        rows.append([str(trial.number), *_step(goal, last, trial)])
        last = trial
    best = "best so far" if goal.beside is None else "one nearest to the best of both so far"
    note = f"Each trial that became the {best}, on the {study.search_queries} search queries."
    if last is not None and last.number != study.outcome.recommended.number:
        note += f" Trial {study.outcome.recommended.number} was recommended all the same."
    gain = ">gain" if goal.beside is None else ">difference"
    wanted = [cell for one in goal.each for cell in (f">{one.metric}", gain)]
    return remark(note) + html_table((">trial", "changed", *wanted, ""), rows)


def _step(goal: Objective, last: Trial | None, trial: Trial) -> list[str]:
    names, holds = [one.metric for one in goal.each], goal.feasible(trial.metrics)
    if last is None:
        cells = [cell for n in names for cell in (number_text(n, trial.metrics.get(n)), "")]
        return ["the default", *cells, "" if holds else "misses an SLO"]
    before = goal.feasible(last.metrics)
    closer = goal.rank(trial.metrics)[0] < goal.rank(last.metrics)[0]
    said = "" if not closer else "now holds every SLO" if holds and not before else "closer to SLOs"
    cells = [cell for name in names for cell in _moved(name, last, trial)]
    return [chips(moved_knobs(last.config, trial.config)), *cells, said]


def _moved(name: str, last: Trial, trial: Trial) -> tuple[str, str]:
    """A metric now, and against before."""
    now, before = (t.metrics.get(name, math.nan) for t in (trial, last))
    return number_text(name, now), signed_text(name, now - before)
