"""The page from top to bottom.

It says first what changed and whether that can be told from chance, on queries the search never
saw; then why, what it cost, and everything that was tried.
"""

from __future__ import annotations

import json
from html import escape

from api.pages import bars, charts
from api.pages.bars import Bar, Series
from api.pages.page import STYLE, figure, remark, section
from api.pages.report.compared import knobs_table, metrics_table, steps_table
from api.pages.report.front import front, front_title
from api.pages.report.headline import headline
from api.pages.report.knobs import importance_charts
from api.pages.report.progress import progress
from api.pages.report.study import ReportStudy
from api.pages.report.trials import every_trial
from autorag import __version__
from autorag.outcome import Outcome
from autorag.ports import Trial
from autorag.stages import QUERY_STAGES


def render_report(study: ReportStudy) -> str:
    """The page as HTML."""
    name = escape(str(study.workload["name"]))
    sections = (
        headline(study),
        section("Default and recommended", metrics_table(study)),
        section("What changed", knobs_table(study.outcome)),
        section("What each step bought", steps_table(study)),
        section("Which knobs mattered", importance_charts(study)),
        section(front_title(study), front(study)),
        section("Where the time goes", _stages(study.outcome)),
        section("Progress", progress(study)),
        section("Every trial", every_trial(study)),
        section("Recommended config", _recommended(study.outcome)),
        section("Provenance", _provenance(study)),
    )
    style = f"{STYLE}{charts.STYLE}{bars.STYLE}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>AutoRAG report: {name}</title><style>{style}</style></head>\n"
        f"<body><main>{''.join(sections)}</main></body></html>\n"
    )


def _stages(found: Outcome) -> str:
    sides: dict[Series, Trial] = {"default": found.default_report}
    if found.recommended.config != found.default.config:
        sides["recommended"] = found.recommended_report
    timed = [
        Bar(stage, series, _times(trial, stage))
        for stage in QUERY_STAGES
        if any(stage in trial.stages for trial in sides.values())
        for series, trial in sides.items()
    ]
    if not timed:
        return remark("The stages were not timed.")
    note = remark("Per query stage, p50 (solid) and p95 (pale) in ms, on the report queries.")
    return note + figure(lambda w: bars.stage_bars(timed, name="Latency per stage", width=w))


def _times(trial: Trial, stage: str) -> tuple[float, float] | None:
    times = trial.stages.get(stage)
    return (times["p50_ms"], times["p95_ms"]) if times else None


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
