"""Workers: jobs are done, whatever happens to who does them."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from api import delivery, worker
from api.settings import Settings
from api.worker import NICENESS, Held, Worker, run_job
from autorag.apps import App
from autorag.errors import WorkCancelled
from autorag.jobs import Job
from store.apps import NewApp
from store.database import Session
from store.engine import reading
from store.tables import answers, jobs, schedules, studies
from tests.api.command import Command, write_workload
from tests.api.working import TINY, WITHIN_S, Place, place_of

LONG: dict[str, Any] = {**TINY, "trials": 40}
"""A tune that is not over before something happens to it."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with the documents of one app."""
    folder = tmp_path / "data"
    (folder / "docs").mkdir(parents=True)
    write_workload(folder / "docs")
    return folder


@pytest.fixture
def place(autorag: Command, data: Path) -> Iterator[Place]:
    with place_of(autorag, data) as place:
        yield place


def was_measured(job: Job) -> bool:
    """Whether a trial beside the default has ended in this attempt."""
    return bool(job.progress and job.progress["last"] and job.progress["last"]["trial"])


def measuring(place: Place, job: Job) -> list[tuple[int, int, str, int, str]]:
    """Wait until a trial beside the default runs; the trials that have finished by then."""
    place.wait(job.id, was_measured)
    give_up = time.monotonic() + WITHIN_S
    while True:
        rows = place.trials()
        if any(row[-1] == "running" for row in rows):
            return [row for row in rows if row[-1] == "finished"]
        assert time.monotonic() < give_up
        time.sleep(0.01)


@contextmanager
def evaluating(
    place: Place, asked: Callable[[], None] = lambda: None, out: Callable[[], bool] = lambda: False
) -> Iterator[str]:
    """The URL of an evaluator that finds everything when ``search.good``, else nothing; ``asked``
    is called before each answer, and while it is ``out`` it hangs up instead."""
    rows = map(json.loads, (place.data / "docs" / "queries.jsonl").read_text().splitlines())
    gold = {row["id"]: row["relevant"] for row in rows}

    class Evaluator(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked()
            if out():
                return
            found = {
                id_: docs if body["config"]["search.good"] else [] for id_, docs in gold.items()
            }
            results = [
                {"id": q["id"], "doc_ids": found[q["id"]], "stage_ms": {"retrieve": 1.0}}
                for q in body["queries"]
            ]
            content = json.dumps({"results": results}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Evaluator) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def searching_app(place: Place, evaluator: str) -> App:
    """An app of another stack, which searches badly."""
    knobs = [
        {"name": "search.good", "type": "bool"},
        {"name": "search.limit", "type": "int", "low": 1, "high": 10, "default": 10},
    ]
    return place.app(
        "shop",
        space={"knobs": knobs},
        objective="max ndcg_at_10",
        docs="docs",
        evaluator=evaluator,
    )


def temporary_folders(place: Place) -> list[Path]:
    return [*(place.command.home / "tmp").iterdir(), *place.command.temporary.glob("tmp*")]


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def test_jobs_are_done_one_after_the_other(place: Place) -> None:
    app = place.app("shop", docs="docs")
    prune, tune = place.enqueue("prune"), place.enqueue("tune", app, **TINY)
    with place.worker() as worker:
        assert place.ended(prune.id).state == "done"
        done = place.ended(tune.id)
        assert worker.poll() is None
    assert worker.returncode == 0
    assert (done.state, done.attempts, done.error) == ("done", 1, None), place.said()
    assert done.result is not None
    assert done.result["trials"] == 2
    assert done.result["recommended"]["measured"]["ndcg_at_10"] > 0
    assert (done.result["revision"], len(place.revisions(app))) == (None, 1)
    assert "better than the current settings" in done.result["why"]
    assert place.left() == []


@pytest.mark.slow
def test_a_tune_tells_how_far_it_is_and_gives_way_to_others(place: Place) -> None:
    job = place.enqueue("tune", place.app("shop", docs="docs"), **LONG)
    with place.worker():
        measuring(place, job)
        told = place.job(job.id).progress
        nice = [os.getpriority(os.PRIO_PROCESS, pid) for pid in place.processes()]
    assert told is not None
    assert (told["doing"], told["trials"]) == ("measuring", LONG["trials"])
    assert told["last"]["trial"] < told["trial"]
    assert told["last"]["state"] == "finished"
    assert set(told["last"]["measured"]) == {"ndcg_at_10", "context_tokens"}
    assert len(nice) >= 3
    assert set(nice) == {NICENESS}


def test_a_prune_deletes_what_is_old(place: Place) -> None:
    old = place.enqueue("prune")
    place.database.write(lambda s: s.jobs.cancel(old.id))
    with place.engine.begin() as connection:
        connection.execute(update(jobs).values(ended_at=0))
        row = {"caller": "c", "key": "k", "request": "r", "status": 200, "headers": {}, "body": b""}
        connection.execute(insert(answers), {**row, "created_at": 0})
    job = place.enqueue("prune")
    with place.worker():
        done = place.ended(job.id)
    assert done.result is not None, done.error
    assert (done.result["jobs"], done.result["answers"], done.result["complete"]) == (1, 1, True)
    assert [j.id for j in place.database.read(lambda s: s.jobs.newest(10))] == [job.id]


def test_what_is_better_becomes_a_revision(place: Place) -> None:
    """The settings break the objective's bound; of the two knobs the pipeline knows one."""
    knobs = [{"name": "prompt.brief", "type": "bool"}]
    app = place.app(
        "shop",
        {"generate.contexts": 10, "prompt.brief": True},
        space={"reference": ["generate.contexts"], "knobs": knobs},
        objective="max ndcg_at_10 subject to context_tokens <= 100",
        docs="docs",
    )
    job = place.enqueue("tune", app, **{**TINY, "trials": 4})
    with place.worker():
        done = place.ended(job.id)
    assert done.state == "done", done.error
    assert done.result is not None
    assert "context_tokens <= 100" in done.result["why"]
    new, old = place.revisions(app)
    assert (new.number, new.state, new.origin) == (done.result["revision"], "active", "tune")
    assert (new.reason, old.state) == (done.result["why"], "superseded")
    assert new.config["prompt.brief"] is True
    assert set(new.config) == {"generate.contexts", "prompt.brief"}
    assert new.config["generate.contexts"] <= 3
    others = {k: v for k, v in done.result["default"]["config"].items() if k != "generate.contexts"}
    assert others.items() <= done.result["recommended"]["config"].items()
    assert place.database.read(lambda s: s.apps.get("shop")).settings == new.config


@pytest.mark.slow
def test_a_running_tune_can_be_cancelled_and_taken_up_again(place: Place) -> None:
    job = place.enqueue("tune", place.app("shop", docs="docs"), **LONG)
    with place.worker():
        finished = measuring(place, job)
        place.database.write(lambda s: s.jobs.cancel(job.id))
        assert place.ended(job.id).state == "cancelled"
        assert {row[-1] for row in place.trials()} <= {"finished", "running"}
        assert temporary_folders(place) == []
        place.database.write(lambda s: s.jobs.retry(job.id))
        place.wait(job.id, was_measured)
        assert finished == [row for row in place.trials() if row in finished]
        assert len({row[1] for row in place.trials()}) == 1


@pytest.mark.slow
def test_another_worker_finishes_what_a_killed_one_began(place: Place) -> None:
    job = place.enqueue("tune", place.app("shop", docs="docs"), **{**TINY, "trials": 5})
    with place.worker() as worker:
        finished = measuring(place, job)
        worker.kill()
        worker.wait()
    assert place.left() == []
    assert place.job(job.id).state == "running"
    place.make_due(job.id)
    with place.worker():
        done = place.ended(job.id)
    assert (done.state, done.attempts) == ("done", 2)
    rows = place.trials()
    assert [row for row in rows if row in finished] == finished
    assert {row[1] for row in rows} == {finished[0][1]}
    assert sorted(row[3] for row in rows if row[2] == "search") == list(range(6))
    assert {row[-1] for row in rows} == {"finished"}


@pytest.mark.slow
def test_a_worker_that_is_told_to_end_gives_its_job_back(place: Place) -> None:
    job = place.enqueue("tune", place.app("shop", docs="docs"), **LONG)
    with place.worker() as worker:
        measuring(place, job)
        worker.terminate()
        assert worker.wait(WITHIN_S) == 0
    back = place.job(job.id)
    assert (back.state, back.attempts, back.lease) == ("queued", 0, None)
    assert place.left() == []
    assert "failed" not in {row[-1] for row in place.trials()}


@pytest.mark.slow
def test_signals_to_all_its_processes_count_as_no_failure(place: Place) -> None:
    """As some supervisors end a service."""
    job = place.enqueue("tune", place.app("shop", docs="docs"), **LONG)
    with place.worker() as worker:
        measuring(place, job)
        for pid in place.processes():
            os.kill(pid, signal.SIGTERM)
        assert worker.wait(WITHIN_S) == 0
    assert (place.job(job.id).state, place.job(job.id).attempts) == ("queued", 0)
    assert "failed" not in {row[-1] for row in place.trials()}


def test_a_job_whose_process_is_killed_is_tried_again(place: Place) -> None:
    job = place.enqueue("tune", place.app("shop", docs="docs"), **{**TINY, "trials": 3})
    with place.worker() as worker:
        measuring(place, job)
        (running,) = (pid for pid in children(worker.pid) if children(pid))
        os.kill(running, signal.SIGKILL)
        failed = place.wait(job.id, lambda j: j.state == "queued")
        assert (failed.attempts, failed.lease) == (1, None)
        assert failed.error is not None
        assert failed.error.startswith("the process that ran it ended")
        place.make_due(job.id)
        assert place.ended(job.id).state == "done"
        assert worker.poll() is None


def test_an_app_with_an_evaluator_is_tuned_through_it(place: Place) -> None:
    with evaluating(place) as url:
        app = searching_app(place, url)
        job = place.enqueue("tune", app, **TINY)
        with place.worker():
            done = place.ended(job.id)
    assert done.result is not None, done.error
    assert done.result["why"].startswith("ndcg_at_10 1 instead of 0 ")
    new, _ = place.revisions(app)
    assert (new.number, new.config["search.good"]) == (done.result["revision"], True)


def test_an_outage_of_the_evaluator_costs_an_attempt_and_no_trial(place: Place) -> None:
    calls, gone = [0], threading.Event()

    def asked() -> None:
        calls[0] += 1
        if calls[0] == 3:
            gone.set()

    with evaluating(place, asked, gone.is_set) as url:
        job = place.enqueue("tune", searching_app(place, url), **{**TINY, "trials": 4})
        with place.worker():
            failed = place.wait(job.id, lambda j: j.state == "queued" and j.attempts > 0)
            assert failed.error is not None
            assert [row[-1] for row in place.trials()] == ["finished"] * 2
            gone.clear()
            place.make_due(job.id)
            done = place.ended(job.id)
    assert (done.state, done.attempts) == ("done", 2)
    assert {row[-1] for row in place.trials()} == {"finished"}
    assert len({row[1] for row in place.trials()}) == 1


def test_a_study_ends_with_its_job(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the process dies right after the job's end was written."""

    class Died(BaseException):
        pass

    def conclude(held: Held, make: Any) -> Any:
        kept(held, make)
        raise Died

    kept = Held.conclude
    monkeypatch.setattr(Held, "conclude", conclude)
    settings = Settings(
        home=place.command.home, data_dir=place.data, allowed_networks="127.0.0.0/8"
    )
    with evaluating(place) as url:
        job = place.enqueue("tune", searching_app(place, url), **TINY)
        place.database.write(lambda s: s.jobs.claim("mine", 30))
        with pytest.raises(Died):
            run_job(
                place.engine.url.render_as_string(),
                job.id,
                "mine",
                settings.model_dump(mode="json"),
            )
    assert place.job(job.id).state == "done"
    with reading(place.engine) as connection:
        state, outcome = connection.execute(select(studies.c.state, studies.c.outcome)).one()
    assert state == "finished"
    assert outcome["recommended"]["config"]["search.good"] is True


def test_a_long_tune_holds_up_no_schedule_and_no_pruning(place: Place) -> None:
    asked, enough = threading.Event(), threading.Event()

    def slow() -> None:
        asked.set()
        enough.wait(WITHIN_S)

    with evaluating(place, slow) as url, place.worker():
        tune = place.enqueue("tune", searching_app(place, url), **TINY)
        other = place.enqueue("tune", place.app("other", docs="docs"), **TINY)
        asked.wait(WITHIN_S)
        made = place.database.write(lambda s: s.schedules.add("prune", None, {}, "0 0 1 1 *"))
        with place.engine.begin() as connection:
            connection.execute(update(schedules).values(next_at=0))
        assert place.ended(place.begun(made.id)).state == "done"
        states = [place.job(job.id).state for job in (tune, other)]
        enough.set()
        assert place.ended(tune.id).state == "done"
    assert states == ["running", "queued"]


def test_what_is_better_can_be_told_only(place: Place) -> None:
    with evaluating(place) as url:
        app = searching_app(place, url)
        job = place.enqueue("tune", app, **TINY, apply=False)
        with place.worker():
            done = place.ended(job.id)
    assert done.result is not None, done.error
    assert (done.result["revision"], len(place.revisions(app))) == (None, 1)
    assert done.result["why"].startswith("not applied, as asked; ndcg_at_10 1 instead of 0 ")


def test_what_was_compared_with_other_settings_is_not_proposed(place: Place) -> None:
    """An operator changes the settings while the evaluator is asked."""

    def change(session: Session) -> None:
        if session.apps.get("shop").revision == 1:
            delivery.propose(
                session, "shop", {"search.limit": 5}, "operator", None, place.spaces.of
            )

    with evaluating(place, lambda: place.database.write(change)) as url:
        app = searching_app(place, url)
        job = place.enqueue("tune", app, **TINY)
        with place.worker():
            done = place.ended(job.id)
    assert done.result is not None, done.error
    assert done.result["revision"] is None
    assert done.result["why"].startswith("revision 2 became active meanwhile")
    assert [r.origin for r in place.revisions(app)] == ["operator", "registered"]


def test_whoever_lost_a_job_proposes_nothing(place: Place) -> None:
    app = place.app("shop")
    job = place.enqueue("prune")
    place.database.write(lambda s: s.jobs.claim("slow", 30))
    place.make_due(job.id)
    place.database.write(lambda s: s.jobs.claim("quick", 30))
    with Held(place.database, job.id, "slow") as held:

        def propose(session: Session) -> dict[str, int]:
            values = {"retrieve.k": 5}
            made = delivery.propose(session, "shop", values, "tune", None, place.spaces.of)
            return {"revision": made.number}

        with pytest.raises(WorkCancelled):
            held.conclude(propose)
    assert len(place.revisions(app)) == 1
    assert (place.job(job.id).state, place.job(job.id).lease) == ("running", "quick")


def test_an_evaluator_that_refuses_makes_a_dead_letter(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    app = place.app("shop", docs="docs", evaluator=url, objective="max ndcg_at_10")
    job = place.enqueue("tune", app, most_attempts=2, **TINY)
    with place.worker():
        waiting = place.wait(job.id, lambda j: j.error is not None)
        assert (waiting.state, waiting.attempts) == ("queued", 1)
        assert waiting.due_at > waiting.created_at
        place.make_due(job.id)
        dead = place.ended(job.id)
    assert (dead.state, dead.attempts) == ("dead", 2)
    assert dead.error is not None
    assert url in dead.error
    assert dead.ended_at is not None


def test_what_cannot_be_read_is_not_tried_again(place: Place) -> None:
    job = place.enqueue("tune", place.app("shop", docs="elsewhere"), **TINY)
    with place.worker():
        dead = place.ended(job.id)
    assert (dead.state, dead.attempts) == ("dead", 1)
    assert dead.error == "docs = 'elsewhere': no such file or folder in the data folder"


def test_workers_run_what_is_scheduled(place: Place) -> None:
    made = place.database.write(lambda s: s.schedules.add("prune", None, {}, "0 0 1 1 *"))
    with place.engine.begin() as connection:
        connection.execute(update(schedules).values(next_at=0))
    with place.worker():
        assert place.ended(place.begun(made.id)).state == "done"
    after = place.database.read(lambda s: s.schedules.get(made.id))
    assert after.next_at == made.next_at


def test_a_schedule_that_a_clock_put_off_comes_in_time_again(place: Place) -> None:
    made = place.database.write(lambda s: s.schedules.add("prune", None, {}, "0 0 1 1 *"))
    with place.engine.begin() as connection:
        connection.execute(update(schedules).values(next_at=made.next_at + 10**9))
    with place.worker():
        assert place.ended(place.enqueue("prune").id).state == "done"
    assert place.database.read(lambda s: s.schedules.get(made.id)) == made


def test_an_end_that_cannot_be_recorded_ends_no_worker(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker, "RECORD_PAUSES_S", (0.0, 0.0))

    def unstorable(session: Session) -> bool:
        session.apps.add(NewApp("a\ud800", None, "", "auto", None))
        return True

    worker._record(place.database, unstorable)
    assert [r.message for r in caplog.records if "not be recorded" in r.message][1:]


def test_another_executor_can_stand_in(place: Place) -> None:
    settings = Settings(home=place.command.home)
    url = place.engine.url.render_as_string()
    stop = threading.Event()
    beside = Worker(settings, url, lambda: ThreadPoolExecutor(1))
    thread = threading.Thread(target=beside.run, args=(stop,))
    thread.start()
    try:
        assert place.ended(place.enqueue("prune").id).state == "done"
    finally:
        stop.set()
        thread.join()


def test_a_database_that_cannot_be_used_ends_the_worker(autorag: Command) -> None:
    ended = autorag.run("worker", "--db", "nonsense://")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("autorag: --db 'nonsense://'")
