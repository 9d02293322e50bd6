"""Retunes: an app is tuned again if anything changed, and only then."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from api import delivery
from api.jobs import check_arguments
from api.retune_job import changes
from autorag.apps import App
from autorag.documents import Document
from autorag.errors import InputError
from autorag.evaluation.gold import GoldUnit
from autorag.queries import Query
from autorag.workload import Workload
from store.engine import reading
from store.repositories import FinishedStudy
from store.tables import schedules, trials
from tests.api.command import Command, write_workload
from tests.api.sets import keep
from tests.api.test_worker import evaluating, searching_app
from tests.api.working import TINY, Place, place_of


@pytest.fixture
def place(autorag: Command, tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "data" / "docs").mkdir(parents=True)
    write_workload(tmp_path / "data" / "docs")
    with place_of(autorag, tmp_path / "data") as place:
        yield place


@dataclass
class Shop:
    """An app of another stack that searches badly, beside a worker; ``calls`` counts what its
    evaluator was asked."""

    place: Place
    app: App
    calls: int = 0

    def run(self, kind: Any, **arguments: Any) -> dict[str, Any]:
        """The result of a job."""
        return result_of(self.place, self.app, kind, **{**TINY, **arguments})

    def edit(self, name: str, line: int, **changed: str) -> None:
        """Change a line of a file of the workload."""
        path = self.place.data / "docs" / name
        rows = list(map(json.loads, path.read_text(encoding="utf-8").splitlines()))
        rows[line] |= changed
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    def change(self, **changes: Any) -> None:
        """Change what the app was registered with."""
        of = self.place.spaces.of
        self.place.database.write(lambda s: delivery.change_app(s, "shop", changes, of))

    def propose(self, **values: Any) -> None:
        """An operator's settings; names have ``__`` for a dot."""
        named = {name.replace("__", "."): value for name, value in values.items()}
        of = self.place.spaces.of
        self.place.database.write(
            lambda s: delivery.propose(s, "shop", named, "operator", None, of)
        )


@pytest.fixture
def shop(place: Place) -> Iterator[Shop]:
    def asked() -> None:
        made.calls += 1

    with evaluating(place, asked) as url, place.worker():
        made = Shop(place, searching_app(place, url))
        yield made


def result_of(place: Place, app: App, kind: Any, **arguments: Any) -> dict[str, Any]:
    done = place.ended(place.enqueue(kind, app, **arguments).id)
    assert (done.state, done.attempts) == ("done", 1), done.error
    return dict(done.result or {})


def why_measured(place: Place) -> list[tuple[Mapping[str, Any], str]]:
    """Config of every finished trial of a search, and why it was proposed, the oldest first."""
    c = trials.c
    query = select(c.config, c.conditions).where(c.split == "search").order_by(c.id)
    with reading(place.engine) as connection:
        rows = connection.execute(query).all()
    return [(config, conditions["proposed"]["why"]) for config, conditions in rows]


# -- with workers ------------------------------------------------------------------------------


def test_an_app_that_was_never_tuned_is(shop: Shop) -> None:
    told = shop.run("retune")
    assert (told["retuned"], told["changed"]) == (True, ["never tuned"])
    assert told["why"].startswith("ndcg_at_10 1 instead of 0 ")
    new, _ = shop.place.revisions(shop.app)
    assert (new.number, new.config["search.good"]) == (told["revision"], True)
    assert set(shop.run("tune", seed=1)) == set(told) - {"retuned", "changed"}


def test_where_nothing_changed_nothing_is_measured(shop: Shop) -> None:
    """The app runs with what the tune proposed: that is its answer, and no news."""
    shop.run("tune")
    was = shop.calls, shop.place.trials(), shop.place.revisions(shop.app)
    told = shop.run("retune")
    assert set(told) == {"retuned", "why"}
    assert told["retuned"] is False
    assert told["why"].startswith(f"nothing changed since study {was[1][0][1]}: documents, queries")
    assert told["why"].endswith(" are the same (settings: those that it recommended)")
    assert (shop.calls, shop.place.trials(), shop.place.revisions(shop.app)) == was


def test_settings_that_were_gone_back_to_are_no_change(shop: Shop) -> None:
    shop.run("tune")
    back = ("shop", 1, None, shop.place.spaces.of)
    shop.place.database.write(lambda s: delivery.roll_back(s, *back))
    told = shop.run("retune")
    assert told["retuned"] is False
    assert told["why"].endswith(" are the same")


def test_force_measures_all_the_same(shop: Shop) -> None:
    shop.run("tune")
    was = shop.calls
    told = shop.run("retune", force=True)
    assert (told["retuned"], told["changed"], told["revision"]) == (True, [], None)
    assert shop.calls > was
    assert len({study for _, study, *_ in shop.place.trials()}) == 2


LIMIT = {"name": "search.limit", "type": "int", "low": 1, "high": 10, "default": 10}
COARSER = {"knobs": [{"name": "search.good", "type": "bool"}, {**LIMIT, "grid": [2, 5, 10]}]}
CHANGES: dict[str, Callable[[Shop], None]] = {
    "objective": lambda shop: shop.change(objective="max recall_at_10"),
    "documents": lambda shop: shop.edit("corpus.jsonl", 2, text="This is told otherwise now."),
    "queries": lambda shop: shop.edit("queries.jsonl", 2, question="What else is known?"),
    "settings": lambda shop: shop.propose(search__good=False, search__limit=2),
    "space": lambda shop: shop.change(space=COARSER),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_changed_is_said_and_the_app_is_tuned_again(shop: Shop, what: str) -> None:
    shop.run("tune")
    was = shop.calls
    CHANGES[what](shop)
    told = shop.run("retune")
    assert (told["retuned"], told["changed"], told["trials"]) == (True, [what], TINY["trials"])
    assert shop.calls > was
    assert shop.run("retune")["retuned"] is False


def test_other_arguments_are_a_change(shop: Shop) -> None:
    shop.run("tune")
    other = {"trials": 3, "budget": "1h", "objective": "max recall_at_10"}
    told = shop.run("retune", **other)
    assert told["changed"] == ["objective", "trials", "budget"]
    assert shop.run("retune", **other, max_queries=400)["retuned"] is False


@pytest.mark.parametrize("strategy", ["bayesian", "greedy", "random"])
def test_what_was_best_before_is_measured_first(shop: Shop, strategy: str) -> None:
    """The app went on with its bad settings, and its documents are others now."""
    shop.run("tune", trials=4, apply=False)
    known = {json.dumps(config) for config, _ in why_measured(shop.place) if config["search.good"]}
    CHANGES["documents"](shop)
    told = shop.run("retune", trials=1, strategy=strategy)
    assert told["retuned"] is True
    config, why = why_measured(shop.place)[-1]
    assert why == "it did well before"
    assert json.dumps(config) in known
    assert told["recommended"]["config"] == config
    assert told["why"].startswith("ndcg_at_10 1 instead of 0 ")


def test_an_interrupted_retune_goes_on_where_it_was(place: Place) -> None:
    calls, gone = [0], threading.Event()

    def asked() -> None:
        calls[0] += 1
        if calls[0] == 3:
            gone.set()

    with evaluating(place, asked, gone.is_set) as url, place.worker():
        job = place.enqueue("retune", searching_app(place, url), **{**TINY, "trials": 4})
        place.wait(job.id, lambda j: j.state == "queued" and j.attempts > 0)
        finished = place.trials()
        gone.clear()
        place.make_due(job.id)
        done = place.ended(job.id)
    assert (done.state, done.attempts) == ("done", 2), done.error
    assert done.result is not None
    assert done.result["changed"] == ["never tuned"]
    assert [row[-1] for row in finished] == ["finished"] * 2
    assert place.trials()[:2] == finished
    assert len({row[1] for row in place.trials()}) == 1


def test_a_schedule_retunes(shop: Shop) -> None:
    shop.run("tune")
    asked = check_arguments("retune", TINY)
    made = shop.place.database.write(
        lambda s: s.schedules.add("retune", shop.app.id, asked, "0 0 1 1 *")
    )
    with shop.place.engine.begin() as connection:
        connection.execute(update(schedules).values(next_at=0))
    done = shop.place.ended(shop.place.begun(made.id))
    assert (done.kind, done.state) == ("retune", "done"), done.error
    assert done.result is not None
    assert done.result["retuned"] is False


def test_other_models_are_a_change_where_the_search_asks_them(place: Place) -> None:
    """Of the reference pipeline, on this machine."""
    app = place.app(
        "shop",
        space={"reference": ["generate.contexts", "retrieve.mode"]},
        objective="max ndcg_at_10",
        docs="docs",
    )
    asked = {**TINY, "trials": 1, "strategy": "bayesian"}
    with place.worker():
        assert result_of(place, app, "retune", **asked)["changed"] == ["never tuned"]
        same = result_of(place, app, "retune", **asked)
        version = keep(place.command.home)
        place.database.write(lambda s: s.model_sets.promote(version))
        told = result_of(place, app, "retune", **asked)
    assert same["retuned"] is False
    assert "hardware" in same["why"]
    assert "models are the same" in same["why"]
    assert told["changed"] == ["models"]
    assert place.left() == []


# -- what changed ------------------------------------------------------------------------------

QUERIES = (
    Query("q", "How high?", (GoldUnit("b", ((13, 23),)),), ("300 metres",)),
    Query("r", "Who?", (GoldUnit("a"), GoldUnit("b")), (), answerable=False),
)
DOCUMENTS = (Document("a", "Alpha", "Greetings."), Document("b", "", "It is 300 metres high."))
WORKLOAD = Workload("towers", DOCUMENTS, QUERIES)
EDITED = (DOCUMENTS[0], Document("b", "", "It stands here and is 300 metres high."))
ASKED_OTHERWISE = (replace(QUERIES[0], question="How tall?"), QUERIES[1])
MOVED = (replace(QUERIES[0], units=(GoldUnit("b", ((22, 32),)),)), QUERIES[1])
VARIED = {"name": "search.limit", "type": "int", "low": 1, "high": 10, "log": False, "grid": []}
FIXED = {"name": "search.mode", "type": "choice", "values": ["graph"], "ordered": False}
SETTINGS: dict[str, Any] = {
    "objective": "max ndcg_at_10",
    "version": ["1", {"chunk": 1}],
    "strategy": "bayesian",
    "trials": 25,
    "budget_s": 600.0,
    "seed": 0,
    "default": {"search.limit": 3, "search.mode": "graph"},
    "space": [VARIED, FIXED],
    "queries": "11",
    "hardware": "22",
}


def study(workload: Workload = WORKLOAD, models: int | None = 0, **settings: Any) -> FinishedStudy:
    """A study that recommended 7, from 3."""
    outcome = {"recommended": {"config": {**SETTINGS["default"], "search.limit": 7}}}
    described = {**workload.summary(), "hashes": workload.part_hashes}
    return FinishedStudy(1, described, {**SETTINGS, **settings}, {**outcome, "models": models})


def test_a_study_of_the_same_shows_no_change() -> None:
    assert changes(study(), WORKLOAD, SETTINGS, 0) == []


@pytest.mark.parametrize(
    ("now", "named"),
    [
        ({"objective": "max recall_at_10"}, ["objective"]),
        ({"version": ["2", {"chunk": 1}]}, ["version"]),
        ({"strategy": "greedy", "trials": 5, "budget_s": None}, ["strategy", "trials", "budget"]),
        ({"seed": 1, "queries": "12"}, ["seed"]),
        ({"queries": "12"}, ["max_queries"]),
        ({"hardware": "23"}, ["hardware"]),
        ({"evaluator": "http://a"}, ["evaluator"]),
        ({"default": {"search.limit": 4, "search.mode": "graph"}}, ["settings"]),
        ({"default": {"search.limit": 7, "search.mode": "graph"}}, []),
        ({"space": [{**VARIED, "high": 20}, FIXED]}, ["space"]),
        ({"space": [{**VARIED, "grid": [1, 5]}, FIXED]}, ["space"]),
        ({"space": [VARIED]}, ["space"]),
    ],
)
def test_each_setting_is_named(now: Mapping[str, Any], named: list[str]) -> None:
    assert changes(study(), WORKLOAD, {**SETTINGS, **now}, 0) == named


def test_another_value_of_what_is_not_varied_is_a_setting() -> None:
    now = {
        "space": [VARIED, {**FIXED, "values": ["scan"]}],
        "default": {"search.limit": 3, "search.mode": "scan"},
    }
    assert changes(study(), WORKLOAD, {**SETTINGS, **now}, 0) == ["settings"]


@pytest.mark.parametrize(
    ("now", "named"),
    [
        ({"documents": EDITED, "queries": MOVED}, ["documents"]),
        ({"queries": ASKED_OTHERWISE}, ["queries"]),
        ({"queries": MOVED}, ["queries"]),
        ({"documents": EDITED, "queries": ASKED_OTHERWISE}, ["documents", "queries"]),
        ({"query_source": "pseudo", "documents": EDITED}, ["queries"]),
        ({"name": "other"}, []),
    ],
)
def test_what_of_the_workload_changed_is_named(now: dict[str, Any], named: list[str]) -> None:
    changed = {**SETTINGS, "queries": "12"} if named else SETTINGS
    assert changes(study(), replace(WORKLOAD, **now), changed, 0) == named


def test_made_up_queries_follow_from_the_documents_and_the_seed() -> None:
    made_up = replace(WORKLOAD, query_source="pseudo")
    others = replace(made_up, documents=EDITED, queries=ASKED_OTHERWISE)
    assert changes(study(made_up), others, SETTINGS, 0) == ["documents"]
    assert changes(study(made_up), others, {**SETTINGS, "seed": 1}, 0) == ["seed"]


@pytest.mark.parametrize(
    ("before", "now", "named"), [(0, 3, ["models"]), (None, None, []), (3, 3, [])]
)
def test_models_count_where_they_are_asked(
    before: int | None, now: int | None, named: list[str]
) -> None:
    assert changes(study(models=before), WORKLOAD, SETTINGS, now) == named


def test_a_study_of_an_older_version_tells_less() -> None:
    told = study(space=[["search.limit", "an integer from 1 to 10"]])
    older = replace(told, workload=WORKLOAD.summary(), outcome={**told.outcome})
    del older.outcome["models"]  # type: ignore[attr-defined]
    assert changes(older, WORKLOAD, SETTINGS, 0) == ["space"]
    edited = replace(WORKLOAD, documents=EDITED)
    assert changes(older, edited, SETTINGS, 0) == ["documents or queries", "space"]


# -- arguments ---------------------------------------------------------------------------------


def test_it_takes_what_a_tune_does_and_force() -> None:
    assert check_arguments("retune", {}) == {**check_arguments("tune", {}), "force": False}
    once = check_arguments("retune", {"force": True, "budget": "90s"})
    assert (once["force"], once["budget"]) == (True, 90.0)
    assert check_arguments("retune", once) == once


@pytest.mark.parametrize(
    ("key", "value"),
    [("force", "yes"), ("force", None), ("force", 1), ("trials", 0), ("budget", "soon"), ("by", 1)],
)
def test_what_cannot_be_used_is_named(key: str, value: Any) -> None:
    with pytest.raises(InputError) as refused:
        check_arguments("retune", {key: value})
    assert (refused.value.key, refused.value.value) == (f"arguments.{key}", value)


def test_a_tune_knows_no_force() -> None:
    with pytest.raises(InputError) as refused:
        check_arguments("tune", {"force": True})
    assert (refused.value.key, refused.value.value) == ("arguments.force", True)
