"""What a study is before it begins: what is asked for, what is measured, what makes it the same as
another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.targets import Target
from api.wiring import SEED_SAMPLE, SEED_SPLIT, Parts
from autorag import __version__
from autorag.errors import InputError, MeasurementError
from autorag.hashing import address
from autorag.metrics import metric
from autorag.objective import Objective
from autorag.queries import Query, split_queries, subsample
from autorag.space import Knob, Space, knob_to_json
from autorag.stages import VERSIONS
from autorag.study import Plan
from autorag.workload import Workload

UNSEARCHED = ("cache.mb", "batch.embed", "threads.generate")
"""Knobs that a measurement cannot tell apart: its queries are distinct, builds are not what is
optimised, and equal prompts are generated once, whatever the threads."""

GENERATION = ("generate.model", "generate.max_tokens")
"""Knobs that are felt only where answers are generated."""


@dataclass(frozen=True, slots=True)
class TuneRequest:
    """What is asked for. ``max_queries`` bounds each side of the split, ``app_id`` is the
    registered app that it is for, ``warm`` whether to begin with what its earlier studies found."""

    objective: Objective
    trials: int
    budget_s: float
    strategy: str
    max_queries: int
    database: str
    app_id: int | None = None
    warm: bool = False


@dataclass(frozen=True)
class Prepared:
    """A study before it begins.

    Attributes:
        space: that is searched.
        settings: what beside workload, app and machine makes two studies the same.
    """

    space: Space
    plan: Plan
    settings: Mapping[str, Any]


def prepare(workload: Workload, target: Target, request: TuneRequest, parts: Parts) -> Prepared:
    """What a study would be; nothing is measured.

    Raises:
        InputError, MeasurementError: these queries cannot measure that.
    """
    search, report = _sides(workload, request, parts)
    _check_answers(request.objective, search, report)
    space = searched_space(target.space, request.objective)
    plan = Plan(
        space.default(),
        request.objective,
        tuple(q.id for q in search),
        tuple(q.id for q in report),
    )
    return Prepared(space, plan, _identity(request, plan, parts.seed, target))


def searched_space(space: Space, objective: Objective) -> Space:
    """The subspace that a search varies: knobs that no metric named can feel keep their default."""
    unfelt = UNSEARCHED if objective.needs_generation else (*UNSEARCHED, *GENERATION)
    return space.fixed({k.name: k.default for k in space if k.name in unfelt})


def _sides(
    workload: Workload, request: TuneRequest, parts: Parts
) -> tuple[list[Query], list[Query]]:
    search, report = split_queries(workload.queries, parts.rng(SEED_SPLIT))
    if not report:
        raise MeasurementError(
            "all queries share gold documents: none are left for the report; add queries"
        )
    rng = parts.rng(SEED_SAMPLE)
    asked, told = (subsample(side, request.max_queries, rng) for side in (search, report))
    return [asked[i] for i in rng.permutation(len(asked))], told


def _check_answers(objective: Objective, search: Sequence[Query], report: Sequence[Query]) -> None:
    """Refuse an objective that these queries cannot measure."""
    judged = [m for m in objective.metrics if metric(m).kind == "answer"]
    if judged and not all(any(q.has_answer for q in side) for side in (search, report)):
        raise InputError(
            f"objective {objective}: {judged[0]} needs queries with answers", key="objective"
        )


def _identity(request: TuneRequest, plan: Plan, seed: int, target: Target) -> dict[str, Any]:
    """What makes two studies the same."""
    return {
        "objective": str(request.objective),
        "version": [__version__, dict(VERSIONS)],
        "strategy": request.strategy,
        "trials": request.trials,
        "budget_s": None if math.isinf(request.budget_s) else request.budget_s,
        "seed": seed,
        "default": plan.default.to_json(),
        "space": [_declared(knob) for knob in target.space],
        "queries": address([plan.search, plan.report]),
        **target.identity,
    }


def _declared(knob: Knob) -> dict[str, Any]:
    """A knob without its default, which is the baseline's, and what is for people only."""
    return {n: v for n, v in knob_to_json(knob).items() if n not in ("default", "meaning")}
