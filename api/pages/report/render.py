"""The report that ``autorag tune`` writes at its end: one HTML page that loads nothing else.

It says first what changed and whether that can be told from chance, on queries the search never
saw; then why, what it cost, and everything that was tried.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

from api.pages import charts
from api.pages.charts import Axis, Bar, Bound, Kind, Mark, Series
from api.pages.page import (
    STYLE,
    bound_text,
    chips,
    code,
    figure,
    finite_metric,
    html_table,
    interval_text,
    knob_value,
    measured_cell,
    moved_knobs,
    near,
    number_text,
    remark,
    section,
    signed_text,
    slos_of,
)
from autorag import __version__
from autorag.evaluation.paired import Interval
from autorag.metrics import METRICS
from autorag.objective import Objective
from autorag.optimizer import best_trial, pareto_trials
from autorag.outcome import ONE_NOISY_NUMBER, Outcome
from autorag.ports import Trial
from autorag.stages import QUERY_STAGES, STAGES

LATENCY = "latency_p95_ms"

PSEUDO = (
    "The queries are pseudo-queries: sentences held out of the documents. They are good for "
    "choosing between configs; absolute quality on real questions will differ."
)


@dataclass(frozen=True)
class ReportStudy:
    """A finished study.

    Attributes:
        workload: ``name``, ``documents``, ``queries``, ``query_source``, ``hash``.
        trials: all, on the search queries; number 0 is the default config.
        seconds: of the whole run.
    """

    workload: Mapping[str, Any]
    outcome: Outcome
    trials: Sequence[Trial]
    seconds: float
    seed: int
    report_queries: int
    search_queries: int

    @property
    def questions(self) -> str:
        """What a query of this workload is called."""
        return "pseudo-queries" if self.workload["query_source"] == "pseudo" else "questions"


def render_report(study: ReportStudy) -> str:
    """The page as HTML."""
    name = escape(str(study.workload["name"]))
    sections = (
        _headline(study),
        section("Default and recommended", _compared(study)),
        section("What changed", _knobs(study.outcome)),
        section("What each step bought", _steps(study)),
        section("Quality against latency", _pareto(study)),
        section("Where the time goes", _stages(study)),
        section("Every trial", _history(study)),
        section("Recommended config", _recommended(study.outcome)),
        section("Provenance", _provenance(study)),
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>AutoRAG report: {name}</title><style>{STYLE}{charts.STYLE}</style></head>\n"
        f"<body><main>{''.join(sections)}</main></body></html>\n"
    )


def _headline(study: ReportStudy) -> str:
    css, verdict, sentence = _verdict(study)
    pseudo = study.workload["query_source"] == "pseudo"
    aside = f'<p class="aside">{PSEUDO}</p>' if pseudo else ""
    name, goal = escape(str(study.workload["name"])), escape(str(study.outcome.objective))
    return (
        f'<header><p class="aside">AutoRAG report · {name} · <code>{goal}</code></p>'
        f'<h1 class="{css}"><b>{verdict}</b> {escape(sentence)}</h1>{aside}</header>'
    )


def _verdict(study: ReportStudy) -> tuple[str, str, str]:
    """CSS class, verdict in a word or two, and the sentence that says it in numbers."""
    found = study.outcome
    goal, same = found.objective, found.recommended.config == found.default.config
    where = f"on {study.report_queries} {study.questions} the search never saw"
    gain = f"{_gain(found)} {where}"
    holds = " Every SLO holds." if goal.slos else ""
    if goal.violations(found.recommended_report.metrics):
        return "bad", "SLO violated.", _violated(study, gain, same)
    if same:
        others = sum(t.state == "finished" for t in study.trials) - 1
        tried = (
            f"Of {others} other configs measured, none was better" if others else "Nothing else ran"
        )
        return "even", "Keep the default.", f"{tried}: {gain}.{holds}"
    if goal.violations(found.default_report.metrics):
        missed = _misses(goal, found.default_report)
        return (
            "good",
            "SLOs met.",
            f"The default misses {missed}; the recommended config holds every SLO: {gain}.",
        )
    gap = found.difference.get(goal.metric)
    if gap is None or not gap.distinguishable:
        return "even", "Not distinguishable from the default.", f"{gain}.{holds}"
    if _better(goal, goal.metric, gap):
        return "good", "Better.", f"{gain}.{holds}"
    return "bad", "Keep the default.", f"The gain of the search did not hold: {gain}."


def _violated(study: ReportStudy, gain: str, same: bool) -> str:
    goal = study.outcome.objective
    who = "The default, the best config found," if same else "The recommended config"
    tried = any(t.state == "finished" and goal.feasible(t.metrics) for t in study.trials)
    tail = "In the search it held." if tried else "No config tried holds every SLO."
    return f"{who} misses {_misses(goal, study.outcome.recommended_report)}. {tail} {gain}."


def _misses(goal: Objective, trial: Trial) -> str:
    """The SLOs that do not hold, with what was measured."""
    return " and ".join(
        f"{bound_text(s)} (measured {number_text(s.metric, trial.metrics[s.metric])})"
        if s.metric in trial.metrics
        else f"{bound_text(s)} (not measured)"
        for s in goal.violations(trial.metrics)
    )


def _gain(found: Outcome) -> str:
    """The objective metric on the report queries, before and after, with its interval."""
    name, gap = found.objective.metric, found.difference.get(found.objective.metric)
    before, after = (t.metrics.get(name) for t in (found.default_report, found.recommended_report))
    if found.recommended.config == found.default.config or gap is None:
        return f"{name} {number_text(name, after)}"
    interval = f", 95 % interval {interval_text(name, gap)}" if gap.low < gap.high else ""
    change = f"{signed_text(name, gap.value)}{interval}"
    return f"{name} {number_text(name, before)} → {number_text(name, after)} ({change})"


def _compared(study: ReportStudy) -> str:
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
    row = [f"<b>{label}</b>" if name == goal.metric else label, known.unit, bounds, *sides]
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
    if _better(goal, name, gap):
        return '<span class="good">▲ better</span>'
    return '<span class="bad">▼ worse</span>'


def _better(goal: Objective, name: str, gap: Interval) -> bool:
    return (gap.low > 0) == (_direction(goal, name) == "max")


def _direction(goal: Objective, name: str) -> Literal["max", "min"]:
    if name == goal.metric:
        return goal.direction
    return "max" if METRICS[name].higher_is_better else "min"


def _knobs(found: Outcome) -> str:
    changed = found.default.config.changed(found.recommended.config)
    if not changed:
        return remark("Nothing: the default config is recommended.")
    knobs = sorted(changed, key=_stage_order)
    cells = ([code(k), *(escape(knob_value(v)) for v in changed[k])] for k in knobs)
    return html_table(("knob", "default", "recommended"), cells)


def _stage_order(knob: str) -> int:
    stage = knob.split(".")[0]
    return [*STAGES, stage].index(stage)


def _steps(study: ReportStudy) -> str:
    goal, last = study.outcome.objective, None
    rows = []
    for trial in _incumbents(study):
        rows.append([str(trial.number), *_step(goal, last, trial)])
        last = trial
    note = f"Each trial that became the best so far, on the {study.search_queries} search queries."
    if last is not None and last.number != study.outcome.recommended.number:
        note += f" Trial {study.outcome.recommended.number} was recommended all the same."
    return remark(note) + html_table((">trial", "changed", f">{goal.metric}", ">gain", ""), rows)


def _step(goal: Objective, last: Trial | None, trial: Trial) -> list[str]:
    name, value = goal.metric, trial.metrics.get(goal.metric)
    holds = goal.feasible(trial.metrics)
    if last is None:
        return ["the default", number_text(name, value), "", "" if holds else "misses an SLO"]
    gain = trial.metrics.get(name, math.nan) - last.metrics.get(name, math.nan)
    before = goal.feasible(last.metrics)
    closer = goal.rank(trial.metrics)[0] < goal.rank(last.metrics)[0]
    said = "" if not closer else "now holds every SLO" if holds and not before else "closer to SLOs"
    moves = chips(moved_knobs(last.config, trial.config))
    return [moves, number_text(name, value), signed_text(name, gain), said]


def _incumbents(study: ReportStudy) -> Iterator[Trial]:
    """The finished trials that were the best so far when they ended."""
    done = sorted((t for t in study.trials if t.state == "finished"), key=lambda t: t.number)
    for i, trial in enumerate(done):
        if best_trial(done[: i + 1], study.outcome.objective) is trial:
            yield trial


def _pareto(study: ReportStudy) -> str:
    goal = study.outcome.objective
    name = next(n for n in (*goal.metrics, "ndcg_at_10") if n != LATENCY)
    shown = [
        t for t in study.trials if None not in (finite_metric(t, name), finite_metric(t, LATENCY))
    ]
    if not shown:
        return remark(f"No trial measured both {name} and {LATENCY}.")
    second = Objective(LATENCY, "min")
    front = pareto_trials(shown, Objective(name, _direction(goal, name)), second)
    line = charts.staircase([(t.metrics[LATENCY], t.metrics[name]) for t in front])
    xs, ys = ([t.metrics[m] for t in shown] for m in (LATENCY, name))
    slos = [*slos_of(goal, LATENCY), *slos_of(goal, name)]
    drawn = [s for s in slos if near(s.bound, xs if s.metric == LATENCY else ys)]
    bounds = [Bound("x" if s.metric == LATENCY else "y", s.bound, bound_text(s)) for s in drawn]
    x = charts.axis_over(LATENCY, [*xs, *(b.value for b in bounds if b.axis == "x")], may_log=True)
    y = charts.axis_over(name, [*ys, *(b.value for b in bounds if b.axis == "y")])
    marks = [_mark(study, t, t.metrics[LATENCY], t.metrics[name], label=True) for t in shown]
    far = "".join(
        f" The bound {bound_text(s)} lies outside the plot." for s in slos if s not in drawn
    )

    def draw(width: int) -> str:
        title = f"{name} against {LATENCY} of every finished trial"
        return charts.scatter(x, y, marks, name=title, width=width, line=line, bounds=bounds)

    note = "Finished trials on the search queries; the line is the Pareto front."
    return remark(note + far) + figure(draw) + _legend(marks, goal)


def _stages(study: ReportStudy) -> str:
    found = study.outcome
    sides: dict[Series, Trial] = {"default": found.default_report}
    if found.recommended.config != found.default.config:
        sides["recommended"] = found.recommended_report
    bars = [
        Bar(stage, series, _times(trial, stage))
        for stage in QUERY_STAGES
        if any(stage in trial.stages for trial in sides.values())
        for series, trial in sides.items()
    ]
    if not bars:
        return remark("The stages were not timed.")
    note = remark("Per query stage, p50 (solid) and p95 (pale) in ms, on the report queries.")
    return note + figure(lambda w: charts.stage_bars(bars, name="Latency per stage", width=w))


def _times(trial: Trial, stage: str) -> tuple[float, float] | None:
    times = trial.stages.get(stage)
    return (times["p50_ms"], times["p95_ms"]) if times else None


def _history(study: ReportStudy) -> str:
    name = study.outcome.objective.metric
    ys = [v for t in study.trials if (v := finite_metric(t, name)) is not None] or [0.0]
    y = charts.axis_over(name, [*ys, min(ys) - 0.1 * (max(ys) - min(ys))])
    x = Axis("trial", -0.7, max(t.number for t in study.trials) + 0.7, whole=True)
    marks = [_mark(study, t, t.number, finite_metric(t, name)) for t in study.trials]
    best = [(t.number, v) for t in _incumbents(study) if (v := finite_metric(t, name)) is not None]
    line = charts.staircase(best, end=x.high)

    def draw(width: int) -> str:
        return charts.scatter(x, y, marks, name=f"{name} by trial", width=width, line=line)

    note = remark("On the search queries; the line is the best so far, SLOs first.")
    return note + figure(draw) + _legend(marks, study.outcome.objective) + _trials(study)


def _trials(study: ReportStudy) -> str:
    goal, first = study.outcome.objective, study.outcome.default.config
    metrics = (f">{m}" for m in goal.metrics)
    head = (">trial", "against the default", *metrics, ">seconds", "reused", "state")
    rows = (
        [
            str(t.number),
            chips(f"{k}={knob_value(v)}" for k, (_, v) in first.changed(t.config).items()),
            *(measured_cell(goal, m, t) if t.state == "finished" else "" for m in goal.metrics),
            f"{t.seconds:.1f}",
            escape(", ".join(t.reused)) or "—",
            f'<div class="why">{escape(_state(t))}</div>',
        ]
        for t in study.trials
    )
    opened = " open" if len(study.trials) <= 30 else ""
    count = f"All {len(study.trials)} trials"
    return f"<details{opened}><summary>{count}</summary>{html_table(head, rows)}</details>"


def _recommended(found: Outcome) -> str:
    config = escape(json.dumps(found.recommended.config.to_json(), indent=2))
    note = "Save it as config.json; <code>autorag measure --config config.json</code> reads it."
    return f'<p class="aside">{note}</p><pre>{config}</pre>'


def _provenance(study: ReportStudy) -> str:
    load, minutes = study.workload, divmod(round(study.seconds), 60)
    facts = {
        "workload": f"{load['name']}: {load['documents']} documents, {load['queries']} queries",
        "queries": f"{load['query_source']}; {study.search_queries} for the search, "
        f"{study.report_queries} for the report",
        "workload hash": load["hash"],
        "objective": study.outcome.objective,
        "seed": study.seed,
        "run": f"{len(study.trials)} trials in {minutes[0]} min {minutes[1]} s",
        "version": f"AutoRAG {__version__}",
    }
    rows = (f"<dt>{k}</dt><dd>{escape(str(v))}</dd>" for k, v in facts.items())
    return f"<dl>{''.join(rows)}</dl>"


def _mark(study: ReportStudy, t: Trial, x: float, y: float | None, *, label: bool = False) -> Mark:
    found = study.outcome
    names = [
        name
        for name, trial in (("default", found.default), ("recommended", found.recommended))
        if trial.number == t.number
    ]
    kind: Any = names[-1] if names else "trial"
    if t.state != "finished":
        kind = "failed" if t.state == "failed" else "skipped"
    ok = t.state == "finished" and found.objective.feasible(t.metrics)
    numbers = (f"{m} {number_text(m, t.metrics.get(m))}" for m in found.objective.metrics)
    state = ", ".join(numbers) if t.state == "finished" else _state(t)
    moves = moved_knobs(found.default.config, t.config) or ["the default config"]
    tip = "\n".join([f"trial {t.number}: {state}", *moves])
    return Mark(x, y, kind, tip, ok, " = ".join(names) if label else "")


def _legend(marks: Sequence[Mark], goal: Objective) -> str:
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


def _state(trial: Trial) -> str:
    """How a trial ended; of a reason that is a traceback, the last line."""
    lines = (trial.reason or "").strip().splitlines()
    state = f"{trial.state}, machine busy" if trial.busy else trial.state
    return f"{state}: {lines[-1]}" if lines else state
