"""Configs measured on made-up corpora, on this machine, now.

Every corpus is cut in one way and asked under configs drawn at random from the reference space, in
one process with one thread, as the measured table is: warm-up, then all queries in ``PASSES``
passes; each gives the median of every stage, and the calmest pass counts. The measuring lease is
held while times are taken. The seeds and sizes are not those that the models' constants come from.
"""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from api.settings import Settings
from autorag.errors import AutoragError
from autorag.features import WorkloadFeatures
from autorag.pipeline.artifacts import ArtifactStore
from autorag.pipeline.build import BuildContext
from autorag.pipeline.measure import run_queries, warm_up
from autorag.pipeline.pace import Pace
from autorag.pipeline.parts import SharedParts
from autorag.pipeline.rag import Pipeline
from autorag.pipeline.space import reference_space
from autorag.pipeline.workbench import Workbench, build_order
from autorag.space import Config, Space
from autorag.workload import Workload
from benchmarks.made_up_corpora import Plan, made_up
from collectors.features.models import installed_models
from collectors.features.workload import workload_features
from collectors.lease import measuring_lease
from collectors.pressure import PressureMark

SEED = 11
CONFIGS, PASSES = 30, 3
EMBEDDERS = {"static": 256, "lsa": 256, "minilm-int8": 384}
ALIKE = {f"threads.{stage}": 1 for stage in ("embed", "retrieve", "rerank", "generate")}


@dataclass(frozen=True, slots=True)
class Case:
    """A corpus, how it is cut, and the embedders that are fast enough for it."""

    plan: Plan
    chunk: Mapping[str, Any]
    embedders: tuple[str, ...]
    rerankers: tuple[str, ...]


ALL = ("none", "bm25", "maxsim")
CASES = (
    Case(
        Plan("leaflets", 250, 110, 0.7, True, 8),
        {"chunk.splitter": "recursive", "chunk.tokens": 128, "chunk.overlap": 0.1},
        tuple(EMBEDDERS),
        ALL,
    ),
    Case(
        Plan("chapters", 90, 900, 0.5, False, 10),
        {"chunk.splitter": "fixed", "chunk.tokens": 256, "chunk.overlap": 0.2},
        tuple(EMBEDDERS),
        ALL,
    ),
    Case(
        Plan("abstracts", 6000, 90, 0.4, True, 9),
        {"chunk.splitter": "content_defined", "chunk.tokens": 256},
        ("static", "lsa"),
        ALL[:2],
    ),
    Case(
        Plan("sentences", 25_000, 22, 0.5, False, 6),
        {"chunk.splitter": "sentence", "chunk.tokens": 32, "chunk.overlap": 0.0},
        ("static",),
        ALL[:2],
    ),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """Medians over the queries of one pass, and the share of it in which a task waited."""

    pressure: float
    stage_ms: Mapping[str, float]
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Measured:
    """One config on one corpus.

    Attributes:
        chunks, chunk_tokens: distinct chunks, and tokens of one on average.
        passes: medians of all passes, the calmest first.
        build_s: seconds of every artifact it needs.
    """

    corpus: str
    config: Config
    features: WorkloadFeatures
    chunks: float
    chunk_tokens: float
    passes: tuple[Asked, ...]
    memory_mb: float
    build_s: Mapping[str, float]


def measured_cases(settings: Settings) -> Iterator[Measured]:
    """All cases, one after the other."""
    models = installed_models(settings.models)
    for number, case in enumerate(CASES):
        rng = np.random.default_rng([SEED, number])
        workload = made_up(case.plan, rng)
        features = workload_features(workload, models, np.random.default_rng(SEED))
        space = reference_space({e: EMBEDDERS[e] for e in case.embedders}, generators=(), cores=1)
        with tempfile.TemporaryDirectory() as scratch:
            context = BuildContext(ArtifactStore(Path(scratch)), settings.models, threads=1)
            yield from _case(case, workload, features, _drawn(case, space, rng), context)


def _drawn(case: Case, space: Space, rng: np.random.Generator) -> list[Config]:
    """Configs of this chunking, in an order that shares what is built."""
    found: dict[Config, None] = {}
    while len(found) < CONFIGS:
        values = space.sample(rng).to_json()
        kept = {k: v for k, v in values.items() if not k.startswith(("chunk.", "cache."))}
        try:
            config = space.config({**kept, **case.chunk, **ALIKE})
        except AutoragError:
            continue
        if config["rerank.model"] in case.rerankers:
            found[config] = None
    return sorted(found, key=build_order)


def _case(
    case: Case,
    workload: Workload,
    features: WorkloadFeatures,
    configs: list[Config],
    context: BuildContext,
) -> Iterator[Measured]:
    bench = Workbench(configs[0], workload.documents, context, SharedParts(context))
    for config in configs:
        try:
            pipeline = bench.pipeline(config)
        except AutoragError:
            continue
        tokens = pipeline.built.chunks.tokens
        yield Measured(
            case.plan.name,
            config,
            features,
            float(len(tokens)),
            float(tokens.mean()),
            _asked(pipeline, workload),
            pipeline.memory_bytes() / 1e6,
            bench.cost_s(config),
        )


def _asked(pipeline: Pipeline, workload: Workload) -> tuple[Asked, ...]:
    with measuring_lease():
        gc.collect()
        warm_up(pipeline, workload.queries)
        pace = Pace()
        passes = [_pass(pipeline, workload, pace) for _ in range(PASSES)]
    return tuple(sorted(passes, key=lambda p: p.pressure))


def _pass(pipeline: Pipeline, workload: Workload, pace: Pace) -> Asked:
    mark = PressureMark.now()
    results = run_queries(pipeline, workload.queries, pace).results
    pressure = mark.since() or 0.0
    stages = {s: median(r.stage_ms[s] for r in results) for s in results[0].stage_ms}
    return Asked(pressure, stages, median(sum(r.stage_ms.values()) for r in results))
