"""Made-up workloads: physics is wrong by known factors, and tastes follow features."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from autorag.features import FEATURES, WorkloadFeatures
from autorag.pipeline.embedders import embedder_dims
from autorag.pipeline.space import reference_space
from autorag.space import Config
from models.analytic.knobs import Knobs
from models.analytic.shape import WorkloadShape
from models.analytic.stages import STAGES, AnalyticModel
from models.encoding import encode_configs
from models.examples import QUALITY, Example, Timed
from models.ratios import CONTEXT_TOKENS
from tests.autorag.machines import profile

SPACE = reference_space(embedder_dims(), generators=(), cores=2)
FACTORS = {"embed": 1.8, "retrieve": 0.6, "rerank": 1.3}
"""By how much physics is wrong."""
TAIL = 1.25
"""95 % quantile over median."""


@dataclass(frozen=True)
class Imagined:
    """A workload.

    Attributes:
        lexical: how much better words are than meanings, which the features show (0..1).
        slower: of its machine, in everything.
        noise: standard deviation of the quality.
        measured_at: seconds since the epoch.
    """

    name: str
    lexical: float
    corpus: str = ""
    slower: float = 1.0
    noise: float = 0.0
    labelled: bool = True
    measured_at: float = 0.0

    @property
    def features(self) -> WorkloadFeatures:
        values: dict[str, float | None] = {f.name: 0.5 for f in FEATURES}
        values |= {"documents": 500.0, "tokens": 150_000.0, "vocabulary_words": 8_000.0}
        values |= {"document_tokens_p5": 60.0, "document_tokens_p50": 250.0}
        values |= {"document_tokens_p95": 800.0, "query_tokens_p50": 12.0, "lid": 14.0}
        values |= {"overlap_passage": self.lexical, "cell_imbalance": 1.3, "burstiness": None}
        values["query_cell_imbalance"] = 1.3
        return WorkloadFeatures.from_json({"schema": 1, "values": values})

    def quality(self, config: Config) -> float:
        """Between .3 and .9: half is common to all, half is the taste."""
        dense = {"dense": 1.0, "lexical": 0.0}.get(
            str(config["retrieve.mode"]), float(config.get("retrieve.alpha", 0.0))
        )
        small = np.log(256 / int(config["chunk.tokens"])) / 4
        reranked = 0.1 * (config["rerank.model"] == "maxsim")
        taste = 0.3 * (dense * (1 - self.lexical) + (1 - dense) * self.lexical)
        return float(0.4 + reranked - 0.1 * abs(small) + taste)


@lru_cache
def configs(count: int = 150) -> tuple[Config, ...]:
    rng = np.random.default_rng(7)
    return tuple(dict.fromkeys(SPACE.sample(rng) for _ in range(count)))


def example(made: Imagined) -> Example:
    """The workload with all configs measured."""
    chosen = configs()
    rng = np.random.default_rng(sum(map(ord, made.name)))
    shape = WorkloadShape.from_features(made.features)
    physics = AnalyticModel(profile()).predict(Knobs.of(chosen), shape)
    halves = np.array([made.quality(c) for c in chosen]) + made.noise * rng.standard_normal(
        (2, len(chosen))
    )
    stages = {s: physics.stage_ms[s] * FACTORS[s] * made.slower for s in STAGES}
    total = np.nansum(list(stages.values()), axis=0)
    contexts = np.array([float(c["generate.contexts"]) for c in chosen])
    measured = {
        QUALITY: halves.mean(axis=0),
        "latency_p50_ms": total,
        "latency_p95_ms": TAIL * total,
        **{f"{s}_p50_ms": ms for s, ms in stages.items()},
        **{f"{s}_p95_ms": TAIL * ms for s, ms in stages.items()},
        CONTEXT_TOKENS: 0.8 * contexts * physics.chunk_tokens,
        "memory_mb": physics.memory_mb,
    }
    rows, moments = encode_configs(chosen), np.full(len(chosen), made.measured_at)
    return Example(
        workload=made.name,
        corpus=made.corpus or made.name,
        family="made up",
        labelled=made.labelled,
        features=made.features,
        configs=chosen,
        knobs=rows,
        quality=halves.mean(axis=0),
        halves=halves,
        pseudo=np.full(len(chosen), np.nan),
        timed=(Timed(profile().fingerprint, chosen, rows, physics, measured, moments),),
    )


@lru_cache
def examples(count: int = 10) -> tuple[Example, ...]:
    """Workloads from those that like meanings to those that like words."""
    return tuple(example(Imagined(f"w{i}", i / (count - 1))) for i in range(count))
