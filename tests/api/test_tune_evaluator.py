"""``autorag tune --evaluator``: a pipeline of another stack, with knobs of its own, is tuned."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from api.prepared import TuneRequest
from api.settings import Settings
from api.targets import evaluator_target
from api.tuning import TuneResult, tune
from api.watching import TuneWatcher
from api.wiring import Parts, load_workload, make_parts
from autorag.documents import Document, document_to_json
from autorag.errors import (
    AddressError,
    InputError,
    MeasurementError,
    UnreachableError,
    WorkCancelled,
)
from autorag.objective import EVALUATOR_OBJECTIVE, Objective, parse_objective
from autorag.outcome import Outcome
from autorag.ports import Estimate, Trial
from autorag.workload import Workload
from collectors.outbound import EVERYWHERE, Outbound
from store.engine import sqlite_url
from tests.api.command import Command, write_lines
from tests.autorag.machines import machine, profile
from tests.autorag.pipeline.corpus import documents
from tests.evaluator import DECLARATION, SPACE, Change, Row, evaluating, words
from tests.loopback import Loopback, Reply

ANYWHERE = Outbound(EVERYWHERE)


def question(document: Document) -> str:
    """What only the text of a document tells."""
    told = words(document.text) - words(document.title)
    return f"What has to do with {', '.join(sorted(told))}?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty documents, a question each that its text answers and its title does not, and the
    declaration of the knobs."""
    made = tmp_path_factory.mktemp("app")
    write_lines(made / "corpus.jsonl", map(document_to_json, documents()))
    asked = (
        {"id": f"q{i}", "question": question(d), "relevant": [d.id], "answers": [d.text]}
        for i, d in enumerate(documents())
    )
    write_lines(made / "queries.jsonl", asked)
    (made / "space.json").write_text(json.dumps(DECLARATION))
    return made


@pytest.fixture(scope="module")
def evaluator() -> Iterator[Loopback]:
    with evaluating(documents()) as server:
        yield server


def command_line(folder: Path, url: str, *more: object) -> tuple[object, ...]:
    space = ("--space", folder / "space.json")
    given = ("tune", "--docs", folder, "--evaluator", url, *space)
    return (*given, "--trials", 4, "--report", folder / "report.html", *more)


# -- from the command line ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def tuned(used_autorag: Command, folder: Path, evaluator: Loopback) -> dict[str, Any]:
    return used_autorag.run_installed(*command_line(folder, evaluator.url, "--json")).json()


def test_the_better_config_of_its_own_knobs_is_found(tuned: dict[str, Any]) -> None:
    assert tuned["default"]["config"] == {"search.fields": "title", "search.limit": 3}
    assert tuned["recommended"]["config"]["search.fields"] == "text"
    gap = tuned["difference"]["ndcg_at_10"]
    assert gap["value"] > 0.5
    assert gap["distinguishable"]


def test_what_the_evaluator_told_is_what_is_reported(tuned: dict[str, Any]) -> None:
    measured = tuned["default"]["measured"]
    assert measured["latency_p95_ms"] == pytest.approx(8.5)
    assert measured["memory_mb"] == 12.5
    assert "context_tokens" not in measured
    assert tuned["objective"] == "max ndcg_at_10 subject to latency_p95_ms <= 100"
    assert tuned["violated"] == []
    assert tuned["trials"] == 4
    assert tuned["workload"]["query_source"] == "labelled"
    assert tuned["workload"]["features"] is None
    assert tuned["pareto"]
    assert tuned["importance"] == {}


def test_report_queries_are_asked_for_the_report_only(
    tuned: dict[str, Any], evaluator: Loopback
) -> None:
    asked = [tuple(q["id"] for q in json.loads(r.content)["queries"]) for r in evaluator.asked]
    search, report = asked[0], asked[-1]
    assert set(search).isdisjoint(report)
    assert asked == [search] * 5 + [report] * 2
    assert tuned["queries"] == {"search": len(search), "report": len(report)}


def test_the_report_is_written_and_people_are_told(
    used_autorag: Command, folder: Path, evaluator: Loopback
) -> None:
    ended = used_autorag.run(*command_line(folder, evaluator.url, "--trials", 1))
    assert ended.code == 0, ended.err
    assert "search.fields=text" in ended.out
    assert "known once the default is measured" in ended.err
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "search.fields" in page


def refused(command: Command, named: str, *arguments: object, code: int = 2) -> None:
    ended = command.run(*arguments, "--json")
    assert (ended.code, ended.out) == (code, ""), ended.err
    assert named in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("url", ["nowhere", "ftp://127.0.0.1/", "http://127.0.0.1/?key=1"])
def test_a_url_that_is_none_is_refused_before_documents_are_read(
    used_autorag: Command, url: str
) -> None:
    refused(used_autorag, f"'{url}'", "tune", "--docs", "no-such-docs", "--evaluator", url)


def test_a_space_that_is_none_is_refused_before_documents_are_read(
    used_autorag: Command, tmp_path: Path
) -> None:
    (tmp_path / "space.json").write_text('{"knobs": [{"name": "search.mode", "type": "color"}]}')
    given = ("tune", "--docs", "no-such-docs", "--space", tmp_path / "space.json")
    refused(used_autorag, "space.knobs[0].type", *given, "--evaluator", "http://127.0.0.1:9")
    refused(used_autorag, "only with --evaluator", *given)


def test_made_up_queries_are_refused(used_autorag: Command, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_bytes((folder / "corpus.jsonl").read_bytes())
    given = command_line(folder, "http://127.0.0.1:9", "--docs", tmp_path)
    refused(used_autorag, "--queries", *given)


def test_a_metric_that_it_does_not_return_is_named_after_the_first_trial(
    used_autorag: Command, folder: Path, evaluator: Loopback
) -> None:
    goal = ("--objective", "max ndcg_at_10 subject to context_tokens <= 2000")
    before = len(evaluator.asked)
    given = command_line(folder, evaluator.url, *goal)
    refused(used_autorag, "context_tokens", *given, code=1)
    assert len(evaluator.asked) == before + 1


def test_an_evaluator_that_is_not_there_is_named(used_autorag: Command, folder: Path) -> None:
    with evaluating(documents()) as gone:
        pass
    refused(used_autorag, gone.url, *command_line(folder, gone.url), code=1)


def test_after_an_outage_the_same_command_goes_on(used_autorag: Command, folder: Path) -> None:
    calls = [0]

    def out(body: Row, row: Row) -> Reply | None:
        calls[0] += 1
        return Reply(500, b"out of order") if calls[0] == 3 else None

    with evaluating(documents(), out) as server:
        given = command_line(folder, server.url, "--seed", 7)
        refused(used_autorag, "run the same command again to continue", *given, code=1)
        told = used_autorag.run(*given, "--json").json()
    assert (told["trials"], told["failed"]) == (4, 0)
    assert calls[0] == 3 + 3 + 2


# -- as a job calls it -------------------------------------------------------------------------


@dataclass
class Diary(TuneWatcher):
    """Writes down what it is told."""

    lines: list[str] = field(default_factory=list)

    def planned(self, estimate: Estimate | None, resumed: int) -> None:
        self.lines.append(f"planned {estimate}, {resumed} there")

    def trial_ended(self, trial: Trial) -> None:
        self.lines.append(f"{trial.state} {trial.number}")


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return make_parts(Settings(home=tmp_path / "home", artifacts_gb=1), 0)


@pytest.fixture
def app(folder: Path, parts: Parts) -> Workload:
    return load_workload(folder, None, parts)


Tune = Callable[..., TuneResult]


@pytest.fixture
def run(app: Workload, parts: Parts) -> Tune:
    def run(
        url: str,
        objective: Objective = EVALUATOR_OBJECTIVE,
        space: Any = SPACE,
        trials: int = 4,
        watcher: TuneWatcher | None = None,
        hardware: bool = False,
        **options: Any,
    ) -> TuneResult:
        database = sqlite_url(parts.settings.home / "studies.db")
        request = TuneRequest(objective, trials, 60.0, "greedy", 100, database)
        target = evaluator_target(app, space, objective, url, ANYWHERE, **options)
        target = replace(target, hardware=hardware)
        return tune(app, target, request, parts, watcher or TuneWatcher(), lambda _: None)

    return run


def found(result: TuneResult) -> Outcome:
    return result.outcome


def test_it_starts_from_the_settings_that_an_app_has(run: Tune, evaluator: Loopback) -> None:
    current = {"search.fields": "text", "search.limit": 7}
    outcome = found(run(evaluator.url, space=SPACE.defaulting(current)))
    assert outcome.default.config.to_json() == current
    assert outcome.recommended.config["search.fields"] == "text"


def test_of_enough_trials_it_tells_which_knobs_explained_the_result(
    run: Tune, evaluator: Loopback
) -> None:
    result = run(evaluator.url, trials=14)
    told = result.to_json()["importance"]
    assert next(iter(told)) == "search.fields"
    assert told["search.fields"] > 0.5
    assert sum(told.values()) <= 1


def test_without_latency_there_is_no_pareto_front_and_still_a_result(run: Tune) -> None:
    def untimed(body: Row, row: Row) -> None:
        for result in row["results"]:
            del result["stage_ms"]

    with evaluating(documents(), untimed) as server:
        result = run(server.url, parse_objective("max recall_at_5"))
    assert found(result).recommended.config["search.fields"] == "text"
    assert result.to_json()["pareto"] == []


def test_answers_can_be_tuned_for(run: Tune, evaluator: Loopback) -> None:
    outcome = found(run(evaluator.url, parse_objective("max answer_f1")))
    assert outcome.recommended_report.metrics["answer_f1"] > 0.8
    assert "end_to_end_p95_ms" in outcome.recommended_report.metrics


def refusing_text(body: Row, row: Row) -> Reply | None:
    text = body["config"]["search.fields"] == "text"
    return Reply(422, b'{"detail": "no text index here"}') if text else None


def lying_about_text(body: Row, row: Row) -> None:
    if body["config"]["search.fields"] == "text":
        row["results"][0]["stage_ms"]["retrieve"] = -1.0


@pytest.mark.parametrize(
    ("change", "why"),
    [(refusing_text, "422: no text index here"), (lying_about_text, "'stage_ms.retrieve' = -1.0")],
)
def test_a_config_that_it_refuses_or_lies_about_is_a_failed_trial(
    run: Tune, change: Change, why: str
) -> None:
    with evaluating(documents(), change) as server:
        result = run(server.url)
    failed = [t for t in result.trials if t.state == "failed"]
    assert failed
    assert all(t.config["search.fields"] == "text" and why in str(t.reason) for t in failed)
    assert found(result).recommended.config["search.fields"] == "title"


def test_an_evaluator_that_fails_with_the_default_fails_the_study(run: Tune) -> None:
    with (
        evaluating(documents(), lambda body, row: Reply(500, b"boom")) as server,
        pytest.raises(MeasurementError, match="answered 500: boom"),
    ):
        run(server.url)


def test_a_cancelled_study_goes_on_where_it_was(run: Tune, parts: Parts) -> None:
    enough, calls, diary = threading.Event(), [0], Diary()

    def slow_third(body: Row, row: Row) -> None:
        calls[0] += 1
        if calls[0] == 3:
            enough.set()
            threading.Event().wait(3)

    with evaluating(documents(), slow_third) as server:
        with pytest.raises(WorkCancelled):
            run(server.url, cancelled=enough.is_set, watcher=diary)
        assert diary.lines == ["planned None, 0 there", "finished 0", "finished 1"]
        enough.clear()
        resumed = Diary()
        result = run(server.url, cancelled=enough.is_set, watcher=resumed)
    assert resumed.lines[0] == "planned None, 3 there"
    assert resumed.lines[1] == "finished 2"
    assert [t.state for t in result.trials] == ["finished"] * 5
    with sqlite3.connect(parts.settings.home / "studies.db") as database:
        assert database.execute("select count(*), state from studies").fetchall() == [
            (1, "finished")
        ]


def age_study(parts: Parts, days: float) -> None:
    with sqlite3.connect(parts.settings.home / "studies.db") as database:
        past = (int(days * 86_400),) * 2
        database.execute(
            "update trials set started_at = started_at - ?, finished_at = finished_at - ?", past
        )
        database.execute("update studies set created_at = created_at - ?", past[:1])


@pytest.mark.parametrize(("days", "goes_on"), [(1.9, True), (2.1, False)])
def test_a_study_of_days_ago_is_not_continued(
    run: Tune, parts: Parts, days: float, goes_on: bool
) -> None:
    calls, diary = [0], Diary()

    def out(body: Row, row: Row) -> Reply | None:
        calls[0] += 1
        return Reply(503) if calls[0] == 3 else None

    with evaluating(documents(), out) as server:
        with pytest.raises(UnreachableError):
            run(server.url)
        age_study(parts, days)
        run(server.url, watcher=diary)
    assert diary.lines[0] == f"planned None, {2 if goes_on else 0} there"


def test_locks_of_studies_that_nobody_runs_are_deleted(
    run: Tune, parts: Parts, evaluator: Loopback
) -> None:
    locks = parts.settings.home / "locks"
    locks.mkdir(parents=True)
    for name in ("old", "held", "new"):
        (locks / f"{name}.lock").touch()
    with FileLock(locks / "held.lock"):
        for name in ("old", "held"):
            os.utime(locks / f"{name}.lock", (0, 0))
        run(evaluator.url, trials=1)
    left = {p.name for p in locks.iterdir()}
    assert {"held.lock", "new.lock"} < left
    assert "old.lock" not in left


@pytest.mark.parametrize(("hardware", "studies"), [(True, 2), (False, 1)])
def test_another_machine_is_another_study_where_it_is_what_is_measured_on(
    run: Tune, parts: Parts, monkeypatch: pytest.MonkeyPatch, hardware: bool, studies: int
) -> None:
    with evaluating(documents(), lambda body, row: Reply(503)) as server:
        for model in ("one", "another"):
            here = replace(profile(), identity=replace(machine(), cpu_model=model))
            monkeypatch.setattr("api.tuning.hardware_profile", lambda *_, here=here, **__: here)
            with pytest.raises(UnreachableError):
                run(server.url, hardware=hardware)
    with sqlite3.connect(parts.settings.home / "studies.db") as database:
        assert database.execute("select count(*) from studies").fetchall() == [(studies,)]


def test_another_evaluator_is_another_study(run: Tune, parts: Parts) -> None:
    for _ in range(2):
        with evaluating(documents()) as server:
            run(server.url, trials=1)
    with sqlite3.connect(parts.settings.home / "studies.db") as database:
        assert database.execute("select count(*) from studies").fetchall() == [(2,)]


def test_a_service_calls_no_evaluator_inside(app: Workload, evaluator: Loopback) -> None:
    before = len(evaluator.asked)
    with pytest.raises(AddressError, match="evaluator"):
        evaluator_target(app, SPACE, EVALUATOR_OBJECTIVE, evaluator.url, Outbound())
    assert len(evaluator.asked) == before


def test_held_out_sentences_are_refused(app: Workload, evaluator: Loopback) -> None:
    pseudo = Workload(app.name, app.documents, app.queries, "pseudo")
    with pytest.raises(InputError, match="held out") as caught:
        evaluator_target(pseudo, SPACE, EVALUATOR_OBJECTIVE, evaluator.url, ANYWHERE)
    assert caught.value.key == "queries"
