"""What jobs take, and when a tune proposes what it found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.jobs import check_arguments, check_tunable
from api.settings import Settings
from api.spaces import Spaces
from api.tune_job import measured_space, verdict
from autorag.apps import App
from autorag.errors import ConflictError, InputError
from autorag.evaluation.paired import Interval
from autorag.jobs import JobKind
from autorag.objective import parse_objective
from autorag.outcome import Outcome
from autorag.ports import Trial
from autorag.space import Config

OBJECTIVE = "max ndcg_at_10 subject to latency_p95_ms <= 20"
DEFAULTS = {
    "objective": None,
    "trials": 25,
    "budget": 600.0,
    "strategy": "bayesian",
    "max_queries": 500,
    "seed": 0,
    "apply": True,
}
APP = App(
    id=1,
    name="shop",
    space=None,
    objective=OBJECTIVE,
    policy="auto",
    webhook=None,
    docs=None,
    queries=None,
    evaluator=None,
    features=None,
    hardware=None,
    frozen=False,
    revision=1,
    settings={},
    pending={},
    built={},
    settings_version=1,
    root=None,
    documents_version=0,
    created_at=0,
    changed_at=0,
)


class TestArguments:
    def test_a_tune_has_defaults(self) -> None:
        assert check_arguments("tune", {}) == DEFAULTS

    @pytest.mark.parametrize(
        ("given", "budget"), [("90s", 90.0), ("1h30m", 5400.0), (12, 12.0), ("none", "none")]
    )
    def test_a_budget_is_a_duration_or_seconds(self, given: Any, budget: Any) -> None:
        assert check_arguments("tune", {"budget": given})["budget"] == budget

    def test_checking_again_changes_nothing(self) -> None:
        once = check_arguments(
            "tune", {"objective": OBJECTIVE, "budget": "none", "trials": 3.0, "apply": False}
        )
        assert once == check_arguments("tune", once)
        assert (once["objective"], once["trials"]) == (OBJECTIVE, 3)

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("objective", "max speed"),
            ("objective", ["max"]),
            ("trials", 0),
            ("trials", 10**9),
            ("trials", "5"),
            ("trials", True),
            ("trials", 1.5),
            ("budget", 0),
            ("budget", -1),
            ("budget", True),
            ("budget", None),
            ("budget", "soon"),
            ("budget", [1]),
            ("budget", 10**400),
            ("budget", float("nan")),
            ("budget", float("inf")),
            ("budget", 10**9),
            ("strategy", "best"),
            ("strategy", ["greedy"]),
            ("max_queries", 1),
            ("seed", -1),
            ("apply", 1),
            ("apply", None),
            ("trails", 5),
        ],
    )
    def test_what_cannot_be_used_is_named(self, key: str, value: Any) -> None:
        with pytest.raises(InputError) as refused:
            check_arguments("tune", {key: value})
        assert refused.value.key == f"arguments.{key}"

    def test_a_prune_takes_nothing(self) -> None:
        assert check_arguments("prune", {}) == {}
        with pytest.raises(InputError) as refused:
            check_arguments("prune", {"days": 3})
        assert (refused.value.key, refused.value.value) == ("arguments.days", 3)

    @pytest.mark.parametrize("kind", ["tune", "prune"])
    def test_arguments_are_an_object(self, kind: JobKind) -> None:
        with pytest.raises(InputError, match="expected an object"):
            check_arguments(kind, ["a"])  # type: ignore[arg-type]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "docs").mkdir()
    return Settings(home=tmp_path / "home", data_dir=tmp_path)


class TestTunable:
    def refuses(self, app: App, settings: Settings, why: str) -> None:
        with pytest.raises(ConflictError, match=why) as refused:
            check_tunable(app, settings)
        assert (refused.value.key, refused.value.value) == ("app", "shop")

    def test_an_app_with_nothing_to_measure_is_not(self, settings: Settings) -> None:
        self.refuses(APP, settings, "neither docs nor an evaluator")
        check_tunable(replace(APP, docs="docs"), settings)

    def test_an_evaluator_needs_queries_with_gold(self, settings: Settings) -> None:
        app = replace(APP, evaluator="http://example.org")
        self.refuses(app, settings, "an evaluator but no docs")
        app = replace(app, docs="docs")
        self.refuses(app, settings, "neither queries nor queries.jsonl beside its docs")
        check_tunable(replace(app, queries="mine.jsonl"), settings)
        assert settings.data_dir is not None
        (settings.data_dir / "docs" / "queries.jsonl").touch()
        check_tunable(app, settings)

    def test_why_docs_cannot_be_read_is_for_the_job_to_say(self, settings: Settings) -> None:
        app = replace(APP, evaluator="http://example.org", docs="elsewhere")
        check_tunable(app, settings)


class TestMeasuredSpace:
    def test_an_app_of_the_reference_pipeline_is_searched_whole(self) -> None:
        spaces = Spaces()
        current = spaces.reference.config({"retrieve.mode": "lexical", "retrieve.k": 20})
        space = measured_space(APP, spaces, current)
        assert space.default() == current
        assert {k.name: len(k.domain.grid) for k in space} == {
            k.name: len(k.domain.grid) for k in spaces.reference
        }

    def test_knobs_that_it_did_not_declare_stay_at_their_defaults(self) -> None:
        spaces = Spaces()
        knobs = [{"name": "prompt.style", "type": "choice", "values": ["a", "b"], "default": "a"}]
        declared = {"reference": ["retrieve.k", "rerank.model"], "knobs": knobs}
        app = replace(APP, space=declared)
        current = {"retrieve.k": 50, "rerank.model": "bm25", "prompt.style": "b"}
        space = measured_space(app, spaces, current)
        default = space.default()
        assert (default["retrieve.k"], default["rerank.model"]) == (50, "bm25")
        assert (default["retrieve.mode"], default["chunk.tokens"]) == ("dense", 256)
        assert default["rerank.depth"] == 50  # as little as 50 results need
        assert "prompt.style" not in default
        moving = {k.name for k in space if len(k.domain.grid) > 1}
        assert moving == {"retrieve.k", "rerank.model"}

    def test_an_own_knob_of_a_reference_name_is_not_the_pipelines(self) -> None:
        spaces = Spaces()
        knobs = [{"name": "retrieve.k", "type": "int", "low": 1, "high": 9, "default": 3}]
        app = replace(APP, space={"reference": ["generate.contexts"], "knobs": knobs})
        space = measured_space(app, spaces, {"generate.contexts": 2, "retrieve.k": 9})
        assert space.default()["retrieve.k"] == 10
        assert space.default()["generate.contexts"] == 2

    def test_a_value_that_has_no_effect_there_is_left_out(self) -> None:
        """Without ``index.kind`` among its knobs the app still has ``retrieve.nprobe``."""
        app = replace(APP, space={"reference": ["retrieve.nprobe"]})
        space = measured_space(app, Spaces(), {"retrieve.nprobe": 16})
        assert "retrieve.nprobe" not in space.default()


def outcome(
    before: Mapping[str, float],
    after: Mapping[str, float],
    gap: tuple[float, float] | None = None,
    objective: str = OBJECTIVE,
) -> Outcome:
    """An outcome whose difference in nDCG lies between these."""
    old, new = Config((("a", 1),)), Config((("a", 2),))
    difference = {} if gap is None else {"ndcg_at_10": Interval(sum(gap) / 2, *gap)}
    return Outcome(
        objective=parse_objective(objective),
        default=Trial(0, old, "finished", before),
        recommended=Trial(1, new, "finished", after),
        default_report=Trial(0, old, "finished", before),
        recommended_report=Trial(1, new, "finished", after),
        predicted={},
        difference=difference,
        pareto=(),
    )


def measured(ndcg: float, latency: float) -> dict[str, float]:
    return {"ndcg_at_10": ndcg, "latency_p95_ms": latency}


class TestVerdict:
    def test_what_is_better_beyond_chance_is_proposed(self) -> None:
        worth, why = verdict(outcome(measured(0.5, 9), measured(0.6, 9), (0.05, 0.15)))
        assert worth
        assert why == "ndcg_at_10 0.6 instead of 0.5 (difference +0.05 to +0.15, 95 %)"

    def test_what_may_be_chance_is_not(self) -> None:
        worth, why = verdict(outcome(measured(0.5, 9), measured(0.6, 9), (-0.05, 0.25)))
        assert not worth
        assert "not distinguishable" in why

    def test_what_has_no_interval_is_not(self) -> None:
        assert not verdict(outcome(measured(0.5, 9), measured(0.6, 9)))[0]

    def test_what_turns_out_worse_is_not(self) -> None:
        worth, why = verdict(outcome(measured(0.6, 9), measured(0.5, 9), (-0.15, -0.05)))
        assert not worth
        assert "worse" in why

    def test_less_can_be_better(self) -> None:
        less = "min ndcg_at_10"
        assert verdict(outcome(measured(0.6, 9), measured(0.5, 9), (-0.15, -0.05), less))[0]
        assert not verdict(outcome(measured(0.5, 9), measured(0.6, 9), (0.05, 0.15), less))[0]

    def test_what_holds_a_bound_that_is_broken_now_is_proposed(self) -> None:
        worth, why = verdict(outcome(measured(0.6, 30), measured(0.5, 9), (-0.15, -0.05)))
        assert worth
        assert why == "it holds latency_p95_ms <= 20, which the current settings violate"

    def test_what_breaks_a_bound_that_holds_now_is_not(self) -> None:
        worth, why = verdict(outcome(measured(0.5, 9), measured(0.6, 30), (0.05, 0.15)))
        assert not worth
        assert why == "it violates latency_p95_ms <= 20, which the current settings hold"

    def test_the_current_settings_are_not_proposed(self) -> None:
        same = outcome(measured(0.5, 9), measured(0.5, 9), (0.0, 0.0))
        assert not verdict(replace(same, recommended=same.default))[0]
