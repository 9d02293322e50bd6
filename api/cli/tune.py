"""``autorag tune``."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from api.cli.console import LiveProgress, changes, progress_console
from api.settings import Settings
from api.tuning import TuneRequest, TuneResult, tune
from api.wiring import bind, load_workload, make_parts, make_space
from autorag.metrics import METRICS
from autorag.objective import Objective
from autorag.outcome import Outcome

REPORT = Path("report.html")


def run_tune(
    docs: Path | None,
    queries: Path | None,
    objective: Objective,
    trials: int,
    budget_s: float,
    strategy: str,
    max_queries: int,
    seed: int,
    database: str | None,
    report: Path,
    as_json: bool,
) -> None:
    """Tune, print the result, write the report."""
    settings = Settings.from_environment()
    parts = make_parts(settings, seed)
    space = make_space()
    console = progress_console(quiet=as_json)
    workload = load_workload(docs, queries, parts)
    console.print(
        f"{workload.name}: {len(workload.documents)} documents, {len(workload.queries)} "
        f"{workload.query_source} queries; {objective}",
        highlight=False,
    )
    request = TuneRequest(
        objective,
        trials,
        budget_s,
        strategy,
        max_queries,
        database or f"sqlite:///{settings.database}",
    )
    with LiveProgress(console, objective) as progress:
        result = tune(workload, bind(space, workload), request, parts, progress)
    write_report(result, seed, report)
    if as_json:
        Console(soft_wrap=True).print_json(json.dumps(result.to_json()), indent=None)
    else:
        print_result(result, report, Console())


def write_report(result: TuneResult, seed: int, path: Path) -> None:
    """Write the self-contained HTML report."""
    from api.report import ReportStudy, render_report

    study = ReportStudy(
        workload=result.workload.summary(),
        outcome=result.outcome,
        trials=result.trials,
        seconds=result.seconds,
        seed=seed,
        report_queries=result.report_queries,
        search_queries=result.search_queries,
    )
    draft = path.with_suffix(path.suffix + ".draft")
    draft.parent.mkdir(parents=True, exist_ok=True)
    draft.write_text(render_report(study), encoding="utf-8")
    draft.replace(path)


def print_result(result: TuneResult, report: Path, console: Console) -> None:
    """The result as a table and a few sentences."""
    outcome = result.outcome
    console.print(_table(outcome, result.report_queries))
    if result.workload.query_source == "pseudo":
        console.print(
            "No queries were given: sentences held out of the documents stood in for them. They "
            "are good for choosing a config; the figures themselves are not those of real queries."
        )
    for sentence in outcome.objective.explain(outcome.recommended_report.metrics):
        console.print(f"[red]{sentence}[/]", highlight=False)
    console.print(
        f"changed: {changes(outcome.default.config, outcome.recommended.config)}", highlight=False
    )
    console.print(
        f"{len(result.trials)} trials in {result.seconds:.0f} s; report: {report}", highlight=False
    )
    console.print("recommended config:", highlight=False)
    console.print_json(json.dumps(outcome.recommended.config.to_json()))


def _table(outcome: Outcome, queries: int) -> Table:
    table = Table(title=f"measured on {queries} queries that the search never saw")
    for heading in ("metric", "default", "recommended", "difference (95 % interval)", ""):
        table.add_column(heading, justify="left" if heading in ("metric", "") else "right")
    first = outcome.objective.metrics
    names = [*first, *(m for m in METRICS if m not in first)]
    for name in names:
        if name in outcome.difference:
            table.add_row(*_row(outcome, name), end_section=name == first[-1])
    return table


def _row(outcome: Outcome, name: str) -> tuple[str, ...]:
    before = outcome.default_report.metrics[name]
    after = outcome.recommended_report.metrics[name]
    gap = outcome.difference[name]
    unit = METRICS[name].unit
    slo = next((s for s in outcome.objective.slos if s.metric == name), None)
    label = f"{name} [{unit}]".replace("[", r"\[") if unit else name
    bound = "" if slo is None else f" {'<=' if slo.at_most else '>='} {slo.bound:g}"
    met = (
        ""
        if slo is None
        else (" ✓" if slo.violation(outcome.recommended_report.metrics) <= 0 else " ✗")
    )
    interval = f"{gap.value:+.4g} ({gap.low:+.4g} … {gap.high:+.4g})"
    verdict = "" if gap.distinguishable else "not distinguishable"
    return (label + bound + met, f"{before:.4g}", f"{after:.4g}", interval, verdict)
