"""Every query judged under every config of a grid: nDCG@10 by query and config.

Rankings are those of :class:`autorag.pipeline.rag.Pipeline`, but each search is made once for all
configs that share it, and only the fusion is repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from autorag.documents import Document
from autorag.evaluation.gold import first_ranks
from autorag.evaluation.ranking import ndcg_at_10
from autorag.pipeline.build import BuildContext
from autorag.pipeline.fusion import Ranked, fuse
from autorag.pipeline.rag import FUSION_DEPTH
from autorag.pipeline.remembering import RememberingParts
from autorag.pipeline.workbench import Workbench, build_order
from autorag.queries import Query
from autorag.space import Config, Space
from autorag.table.design import ALPHAS, CHUNKINGS, groups


def grid(space: Space, models: Sequence[str], chunkings: Sequence[int]) -> list[Config]:
    """Lexical, dense and hybrid configs of some of ``CHUNKINGS``."""
    made = []
    for number in chunkings:
        base = CHUNKINGS[number]
        made.append({**base, "retrieve.mode": "lexical"})
        for model in models:
            made.append({**base, "retrieve.mode": "dense", "embed.model": model})
            hybrid = {**base, "retrieve.mode": "hybrid", "embed.model": model}
            made += [{**hybrid, "retrieve.alpha": alpha} for alpha in ALPHAS]
    return [space.config(values) for values in made]


def judged(
    documents: Sequence[Document],
    queries: Sequence[Query],
    configs: Sequence[Config],
    context: BuildContext,
) -> np.ndarray:
    """nDCG@10, float32 ``(queries, configs)``."""
    column = {config: i for i, config in enumerate(configs)}
    found = np.empty((len(queries), len(configs)), dtype=np.float32)
    parts = RememberingParts(context, [q.question for q in queries])
    for group in groups(configs):
        bench = _Bench(group[0], documents, queries, context, parts)
        for config in sorted(group, key=build_order):
            found[:, column[config]] = bench.ndcg(config)
    return found


class _Bench:
    """One chunking of one corpus, asked all queries."""

    def __init__(
        self,
        config: Config,
        documents: Sequence[Document],
        queries: Sequence[Query],
        context: BuildContext,
        parts: RememberingParts,
    ) -> None:
        self._bench = Workbench(config, documents, context, parts)
        self._queries = queries
        self._questions = [q.question for q in queries]
        self._lexical: list[Ranked] = []
        self._dense: dict[str, list[Ranked]] = {}

    def ndcg(self, config: Config) -> list[float]:
        k = int(config["retrieve.k"])
        pipeline = self._bench.pipeline(config)
        occurrences = pipeline.built.chunks.occurrences
        return [
            ndcg_at_10(first_ranks(query.units, [occurrences[r] for r in rows[:k].tolist()]))
            for query, rows in zip(self._queries, self._rankings(config), strict=True)
        ]

    def _rankings(self, config: Config) -> Iterable[np.ndarray]:
        if config["retrieve.mode"] == "lexical":
            return (rows for rows, _ in self._lexical_lists(config))
        if config["retrieve.mode"] == "dense":
            return (rows for rows, _ in self._dense_lists(config))
        alpha, k = float(config["retrieve.alpha"]), int(config["retrieve.k"])
        both = zip(self._dense_lists(config), self._lexical_lists(config), strict=True)
        return (fuse(dense, lexical, alpha, k)[0] for dense, lexical in both)

    def _lexical_lists(self, config: Config) -> list[Ranked]:
        if not self._lexical:
            lexical = self._bench.pipeline(config).built.lexical
            assert lexical is not None
            self._lexical = [lexical.search(q, FUSION_DEPTH) for q in self._questions]
        return self._lexical

    def _dense_lists(self, config: Config) -> list[Ranked]:
        model = str(config["embed.model"])
        if model not in self._dense:
            pipeline = self._bench.pipeline(config)
            depth = min(FUSION_DEPTH, pipeline.built.index.ntotal)
            vectors = pipeline.query_vectors(self._questions)
            scores, rows = pipeline.built.index.search(vectors, depth)
            self._dense[model] = list(zip(rows, scores, strict=True))
        return self._dense[model]
