"""The command ``autorag``. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Learned auto-configuration for RAG systems.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Docs = Annotated[
    Path | None,
    typer.Option(help="Folder of documents, folder with corpus.jsonl, or .jsonl. Default: a demo."),
]
Queries = Annotated[
    Path | None,
    typer.Option(help="Queries with gold, .jsonl. Default: queries.jsonl beside the documents."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
Database = Annotated[
    str | None, typer.Option(help="Database URL. Default: SQLite in AUTORAG_HOME.")
]
MaxQueries = Annotated[
    int, typer.Option(min=2, help="Queries measured at most (tune: on each side of the split).")
]


@app.command()
def tune(
    docs: Docs = None,
    queries: Queries = None,
    objective: Annotated[
        str | None,
        typer.Option(
            help='"max|min METRIC [subject to METRIC <=|>= NUMBER, ...]". Default: max ndcg_at_10 '
            "subject to latency_p95_ms <= 100, context_tokens <= 2000 (the latter not with "
            "--evaluator)."
        ),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Trials beside the default config.")] = 25,
    budget: Annotated[str, typer.Option(help="Time: 90s, 10m, 1h30m, none.")] = "10m",
    strategy: Annotated[str, typer.Option(help="bayesian, greedy or random.")] = "bayesian",
    max_queries: MaxQueries = 500,
    seed: Seed = 0,
    db: Database = None,
    report: Annotated[Path, typer.Option(help="Where the HTML report goes.")] = Path("report.html"),
    cross_encoder: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of a local cross-encoder to try as a reranker. Repeatable."),
    ] = None,
    evaluator: Annotated[
        str | None,
        typer.Option(help="URL of an HTTP evaluator: tune the pipeline behind it, not ours."),
    ] = None,
    space: Annotated[
        Path | None,
        typer.Option(help="The knobs of that pipeline, as JSON. Default: those of ours."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find a better config for your documents, and show by how much."""
    from api.cli.options import check_model_folder, parse_duration, read_space
    from autorag.errors import InputError
    from autorag.objective import DEFAULT_OBJECTIVE, EVALUATOR_OBJECTIVE, parse_objective

    usual = DEFAULT_OBJECTIVE if evaluator is None else EVALUATOR_OBJECTIVE
    wanted = parse_objective(objective) if objective is not None else usual
    if space is not None and evaluator is None:
        raise InputError(f"--space {space}: only with --evaluator", key="space", value=str(space))
    declaration = read_space(space)
    budget_s = parse_duration(budget)
    cross_encoders = [check_model_folder(folder) for folder in cross_encoder or []]
    from api.strategies import STRATEGIES

    if strategy not in STRATEGIES:
        known = ", ".join(STRATEGIES)
        raise InputError(
            f"--strategy {strategy!r}: expected one of {known}", key="strategy", value=strategy
        )
    from api.cli.tune import run_tune

    run_tune(
        docs,
        queries,
        wanted,
        trials,
        budget_s,
        strategy,
        max_queries,
        seed,
        db,
        report,
        cross_encoders,
        evaluator,
        declaration,
        as_json,
    )


@app.command()
def measure(
    docs: Docs = None,
    queries: Queries = None,
    config: Annotated[Path | None, typer.Option(help="A config as JSON.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A knob: index.kind=hnsw. Repeatable.")
    ] = None,
    generate: Annotated[bool, typer.Option(help="Also generate answers (slow).")] = False,
    max_queries: MaxQueries = 500,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Measure one config on your documents."""
    from api.cli.options import parse_sets, read_config

    values, base = parse_sets(set_ or []), read_config(config)
    from api.cli.measure import run_measure

    run_measure(docs, queries, base, values, generate, max_queries, seed, as_json)


@app.command()
def recommend(
    docs: Docs = None,
    queries: Queries = None,
    objective: Annotated[
        str | None,
        typer.Option(
            help='"max|min METRIC [subject to METRIC <=|>= NUMBER, ...]" of predicted metrics. '
            "Default: max ndcg_at_10 subject to latency_p95_ms <= 100, context_tokens <= 2000."
        ),
    ] = None,
    models: Annotated[
        Path | None, typer.Option(help="A set of models. Default: the one in production.")
    ] = None,
    alternatives: Annotated[int, typer.Option(min=0, max=20, help="Further configs.")] = 4,
    landmarks: Annotated[
        bool, typer.Option("--landmarks", help="Measure three cheap configs before (seconds).")
    ] = False,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Predict a config for your documents in seconds, without measuring it."""
    from autorag.objective import DEFAULT_OBJECTIVE, parse_goal

    wanted = parse_goal(objective) if objective is not None else DEFAULT_OBJECTIVE
    from api.cli.recommend import run_recommend

    run_recommend(docs, queries, wanted, models, 1 + alternatives, landmarks, seed, as_json)


@app.command()
def train(
    out: Annotated[
        Path | None,
        typer.Argument(help="A file for models of the table alone. Default: a new version here."),
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="Folder of a measured table. Default: the project's own.")
    ] = None,
    promote: Annotated[
        bool, typer.Option(help="Let a set that is not worse answer at once.")
    ] = True,
    seed: Seed = 0,
    db: Database = None,
    as_json: AsJson = False,
) -> None:
    """Train models on the measured table and on everything that was measured here."""
    from api.cli.train import run_train

    run_train(out, table, promote, seed, db, as_json)


@app.command()
def profile(
    again: Annotated[bool, typer.Option(help="Measure, also when a profile is there.")] = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Where the roofline plot goes. Default: roofline.html; none with --json."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure what this machine can do, or show what was measured."""
    from api.cli.profile import run_profile

    run_profile(again, plot, as_json)


@app.command()
def doctor(db: Database = None, as_json: AsJson = False) -> None:
    """Check that everything is here that AutoRAG needs."""
    from api.cli.doctor import run_doctor

    raise typer.Exit(run_doctor(db, as_json))


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8300,
    db: Database = None,
    workers: Annotated[
        int | None,
        typer.Option(min=0, max=256, help="Processes for jobs. Default: AUTORAG_WORKERS, else 1."),
    ] = None,
) -> None:
    """Run the service that apps talk to."""
    from api.cli.serve import run_serve

    run_serve(host, port, db, workers)


@app.command()
def worker(db: Database = None) -> None:
    """Run background jobs of the service, one at a time."""
    from api.cli.worker import run_worker

    run_worker(db)


benches = typer.Typer(help="The measured table of many workloads.", no_args_is_help=True)
app.add_typer(benches, name="bench")

MeasuredTable = Annotated[Path, typer.Option("--table", help="Folder of the table's files.")]
TABLE = Path("benchmarks/table")


@benches.command()
def collect(
    suite: Annotated[Path, typer.Option(help="The workloads, as TOML.")] = Path(
        "benchmarks/suite.toml"
    ),
    workload: Annotated[
        list[str] | None, typer.Option(help="Only this one of the suite. Repeatable.")
    ] = None,
    table: MeasuredTable = TABLE,
    repeats: Annotated[
        int, typer.Option(min=0, help="How often times are taken; 0 judges quality only.")
    ] = 2,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Measure a designed set of configs on every workload; what is there is not measured again."""
    from api.cli.bench import run_collect

    run_collect(suite, workload or [], table, repeats, seed, as_json)


@benches.command()
def show(table: MeasuredTable = TABLE, as_json: AsJson = False) -> None:
    """Tell what is in the table: rows, workloads, configs, hours, hash, noise floor."""
    from api.cli.bench import run_show

    run_show(table, as_json)


sets = typer.Typer(help="Sets of trained models.", no_args_is_help=True)
app.add_typer(sets, name="models")


@sets.command("list")
def list_(db: Database = None, as_json: AsJson = False) -> None:
    """List the sets of models, the newest first; version 0 is the one that ships."""
    from api.cli.models import run_list

    run_list(db, as_json)


@sets.command()
def promote(
    version: Annotated[
        int, typer.Argument(min=0, help="A set that is not worse; 0 is the one that ships.")
    ],
    db: Database = None,
    as_json: AsJson = False,
) -> None:
    """Let a set of models answer. A running service takes it over without a pause."""
    from api.cli.models import run_promote

    run_promote(version, db, as_json)


@sets.command()
def rollback(db: Database = None, as_json: AsJson = False) -> None:
    """Go back to the set of models that was in production before."""
    from api.cli.models import run_rollback

    run_rollback(db, as_json)


@sets.command()
def report(
    version: Annotated[
        int | None, typer.Argument(min=0, help="Default: the one in production.")
    ] = None,
    db: Database = None,
    as_json: AsJson = False,
) -> None:
    """Tell what a set of models is worth on corpora that were left out."""
    from api.cli.models import run_report

    run_report(version, db, as_json)


databases = typer.Typer(help="Look after the databases.", no_args_is_help=True)
app.add_typer(databases, name="db")


@databases.command()
def upgrade(db: Database = None, as_json: AsJson = False) -> None:
    """Bring the schema up to date. The other commands and the service do so when they start."""
    from api.cli.db import run_upgrade

    run_upgrade(db, as_json)


@databases.command()
def backup(
    file: Annotated[Path, typer.Argument(help="Where the archive goes, in place of what is there")],
    db: Database = None,
    as_json: AsJson = False,
) -> None:
    """Write everything into one archive. The service may go on meanwhile."""
    from api.cli.db import run_backup

    run_backup(file, db, as_json)


@databases.command()
def restore(
    file: Annotated[Path, typer.Argument(help="An archive.")],
    force: Annotated[
        bool, typer.Option("--force", help="Replace what is in the database.")
    ] = False,
    db: Database = None,
    as_json: AsJson = False,
) -> None:
    """Read an archive into an empty database. Stop the service before."""
    from api.cli.db import run_restore

    run_restore(file, force, db, as_json)


@databases.command()
def prune(
    days: Annotated[
        int | None,
        typer.Option(min=0, help="Days that are kept. Default: AUTORAG_RETENTION_DAYS, else 30."),
    ] = None,
    db: Database = None,
    as_json: AsJson = False,
) -> None:
    """Delete what is older than is kept, as a prune job does. The service may go on meanwhile."""
    from api.cli.db import run_prune

    run_prune(days, db, as_json)


@databases.command()
def stats(db: Database = None, as_json: AsJson = False) -> None:
    """Tell what is in the databases and how much room it takes."""
    from api.cli.db import run_stats

    run_stats(db, as_json)


def run() -> None:
    """The entry point: errors become a message and an exit code (2 bad input, 1 failed)."""
    from autorag.errors import AutoragError, InputError

    try:
        app()
    except InputError as error:
        _fail(str(error), 2)
    except AutoragError as error:
        _fail(str(error), 1)
    except OSError as error:
        _fail(str(error), 1)
    except KeyboardInterrupt:
        _fail("interrupted; run the same command again to continue", 1)


def _fail(message: str, code: int) -> None:
    sys.stderr.write(f"autorag: {message}\n")
    raise SystemExit(code)
