"""``autorag tune``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from api.cli.console import progress_console
from api.cli.options import check_report
from api.cli.progress import LiveProgress, changes
from api.prepared import TuneRequest
from api.settings import Settings
from api.targets import evaluator_target, reference_target
from api.tuning import TuneResult, tune
from api.wiring import bind, load_workload, make_parts, make_space
from autorag.errors import MeasurementError, UnreachableError
from autorag.metrics import METRICS
from autorag.objective import Objective
from autorag.outcome import Outcome
from autorag.space import declared_space
from collectors.http_evaluator import check_evaluator
from collectors.outbound import EVERYWHERE, Outbound
from store.engine import check_url

ANYWHERE = Outbound(EVERYWHERE)


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
    cross_encoders: Sequence[str],
    evaluator: str | None,
    declaration: Mapping[str, Any] | None,
    as_json: bool,
) -> None:
    """Tune, write the report, print the result.

    Any address may be called: whoever types a command may reach what his machine reaches.
    """
    settings = Settings.from_environment()
    if database is not None:
        check_url(database)
    check_report(report)
    if evaluator is not None:
        check_evaluator(evaluator, ANYWHERE)
    parts = make_parts(settings, seed)
    space = declared_space(declaration, make_space(cross_encoders))
    console = progress_console(quiet=as_json)
    workload = load_workload(docs, queries, parts)
    console.print(
        f"{escape(workload.name)}: {len(workload.documents)} documents, {len(workload.queries)} "
        f"{workload.query_source} queries; {objective}",
        highlight=False,
    )
    if space.rules:
        space = bind(space, workload)
    if evaluator is None:
        target = reference_target(workload, space, objective, parts)
    else:
        target = evaluator_target(workload, space, objective, evaluator, ANYWHERE)
    request = TuneRequest(
        objective,
        trials,
        budget_s,
        strategy,
        max_queries,
        database or settings.database_url,
    )

    def publish(result: TuneResult) -> None:
        write_report(result, seed, report)

    with LiveProgress(console, objective) as progress:
        try:
            result = tune(workload, target, request, parts, progress, publish)
        except UnreachableError as error:
            raise MeasurementError(f"{error}; run the same command again to continue") from error
    if as_json:
        Console(soft_wrap=True).print_json(json.dumps(result.to_json()), indent=None)
    else:
        print_result(result, report, Console())


def write_report(result: TuneResult, seed: int, path: Path) -> None:
    """Write the self-contained HTML report."""
    from api.pages.report import ReportStudy, render_report

    study = ReportStudy(
        workload=result.workload.summary(),
        outcome=result.outcome,
        trials=result.trials,
        importance=result.importance,
        seconds=result.seconds,
        seed=seed,
        report_queries=result.report_queries,
        search_queries=result.search_queries,
    )
    draft = path.with_suffix(path.suffix + ".draft")
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
    if outcome.default_report.busy or outcome.recommended_report.busy:
        console.print("[yellow]the machine was busy: latencies are unreliable[/]")
    for line in _slo_lines(outcome):
        console.print(line, highlight=False)
    console.print(
        f"changed: {changes(outcome.default.config, outcome.recommended.config)}", highlight=False
    )
    console.print(
        f"{len(result.trials)} trials in {result.seconds:.0f} s; report: {report}", highlight=False
    )
    console.print("recommended config:", highlight=False)
    console.print_json(json.dumps(outcome.recommended.config.to_json()))


def _table(outcome: Outcome, queries: int) -> Table:
    table = Table(
        title=f"measured on {queries} queries that the search never saw",
        caption="≈ the difference is not distinguishable from chance (paired, 95 %)",
    )
    for heading in ("metric", "default", "recommended", "difference", "95 % interval", ""):
        table.add_column(heading, justify="left" if heading == "metric" else "right")
    first = outcome.objective.metrics
    for name in (*first, *(m for m in METRICS if m not in first)):
        if name in outcome.difference:
            table.add_row(*_row(outcome, name), end_section=name == first[-1])
    return table


def _row(outcome: Outcome, name: str) -> tuple[str, ...]:
    gap = outcome.difference[name]
    before, after = (
        f"{trial.metrics[name]:.4g}"
        for trial in (outcome.default_report, outcome.recommended_report)
    )
    interval = "" if gap.low == gap.high else f"{gap.low:+.3g} … {gap.high:+.3g}"
    mark = "" if gap.distinguishable else "≈"
    return name, before, after, f"{gap.value:+.3g}", interval, mark


def _slo_lines(outcome: Outcome) -> list[str]:
    """One line per SLO: whether the recommended config holds it."""
    measured = outcome.recommended_report.metrics
    held = [
        f"{slo}: [green]holds[/] (measured {measured[slo.metric]:.4g})"
        for slo in outcome.objective.slos
        if slo.violation(measured) <= 0
    ]
    return [*held, *(f"[red]{s}[/]" for s in outcome.objective.explain(measured))]
