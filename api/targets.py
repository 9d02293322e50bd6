"""What a study tunes: the space, how its configs are measured, and what that costs.

The reference pipeline is measured in processes of this machine; the pipeline of an app with
another stack by its HTTP evaluator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from api.wiring import Parts, document_tokens
from autorag.errors import InputError
from autorag.limits import usable_cores
from autorag.objective import Objective
from autorag.ports import CostModel, Estimate, Measurer
from autorag.space import Config, Space
from autorag.workload import Workload
from collectors.cancelling import never
from collectors.measurer import ProcessMeasurer
from collectors.outbound import Outbound
from models.analytic.cost import PipelineCosts
from models.analytic.mean_cost import MeanCosts


class Forecaster(Protocol):
    """A cost model that can tell of many configs before any is measured."""

    def total(self, configs: Iterable[Config], queries: int) -> Estimate:
        """Measuring all of them, one after the other."""


@dataclass(frozen=True)
class Costs:
    """What measuring costs: the model that learns, and a forecast if there can be one."""

    model: CostModel
    forecaster: Forecaster | None = None


@dataclass(frozen=True)
class Target:
    """A pipeline to be tuned.

    Attributes:
        space: its default config is the baseline, which is measured first; ``Space.defaulting``
            makes an app's current settings the default.
        measurer: makes the measurer, when all is ready to be measured.
        costs: makes the cost model, given configs that were measured on the workload before.
        features: whether the workload is to be described, which prepares the static embedder.
        hardware: whether this machine is what is measured on, and is to be profiled.
        learned: whether models know the pipeline, given what the two above tell.
        identity: what beside the space makes it another target than others.
    """

    space: Space
    measurer: Callable[[], Measurer]
    costs: Callable[[Sequence[Config]], Costs]
    features: bool = True
    hardware: bool = True
    learned: bool = True
    identity: Mapping[str, Any] = field(default_factory=dict)


def reference_target(
    workload: Workload,
    space: Space,
    objective: Objective,
    parts: Parts,
    *,
    cancelled: Callable[[], bool] = never,
) -> Target:
    """The reference pipeline on this machine.

    Raises:
        InputError: the objective needs a generator, and there is none.
    """
    if objective.needs_generation and all(k.name != "generate.model" for k in space):
        raise InputError(
            f"objective {objective}: needs a generator: pip install 'autorag-service[generator]' "
            "or set AUTORAG_GENERATOR_URL",
            key="objective",
        )

    def measurer() -> Measurer:
        settings = parts.settings
        return ProcessMeasurer(
            workload, settings.home, parts.seed, settings.artifacts_bytes, cancelled
        )

    def costs(built: Sequence[Config]) -> Costs:
        model = PipelineCosts(
            document_tokens(workload),
            built,
            cores=usable_cores(),
            generate=objective.needs_generation,
        )
        return Costs(model, model)

    return Target(space, measurer, costs)


def evaluator_target(
    workload: Workload,
    space: Space,
    objective: Objective,
    url: str,
    outbound: Outbound,
    *,
    cancelled: Callable[[], bool] = never,
) -> Target:
    """The pipeline behind an HTTP evaluator.

    Raises:
        AddressError: the URL must not be called.
        InputError: the queries are held-out sentences, which the evaluator's index holds.
    """
    from collectors.http_evaluator import HttpMeasurer, check_evaluator

    check_evaluator(url, outbound)
    if workload.query_source == "pseudo":
        raise InputError(
            f"evaluator {url}: needs queries with gold: sentences cannot be held out of an index "
            "that is not ours; give --queries, or queries.jsonl beside the documents",
            key="queries",
        )

    def measurer() -> Measurer:
        return HttpMeasurer(workload, url, outbound, needed=objective.metrics, cancelled=cancelled)

    def costs(built: Sequence[Config]) -> Costs:
        return Costs(MeanCosts())

    return Target(
        space,
        measurer,
        costs,
        features=False,
        hardware=False,
        learned=False,
        identity={"evaluator": url},
    )
