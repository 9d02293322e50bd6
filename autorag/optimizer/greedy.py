"""Model-first greedy: coordinate descent that settles the models first.

One knob at a time, the others held at the best config so far: first the models (embedder,
reranker, generator), which decide most, then how searches are combined, then the chunks, then the
rest. Categorical knobs are tried value by value, ordered ones by walking away from the current
value for as long as it helps. A sweep over all knobs is repeated while it improves; then random
search takes over. (The order is the "greedy, models first" of studies of RAG hyper-parameters.)
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping, Sequence

from autorag.metrics import metric
from autorag.objective import Objective
from autorag.optimizer.random import RandomSearch
from autorag.optimizer.strategy import Proposal, Stop, best_trial
from autorag.ports import Trial
from autorag.space import Config, Domain, Knob, Space
from autorag.space.domains import Value

FIRST = (
    "embed.model",
    "rerank.model",
    "rerank.weight",
    "generate.model",
    "retrieve.mode",
    "retrieve.alpha",
    "chunk.tokens",
    "rerank.depth",
    "chunk.splitter",
    "chunk.overlap",
    "generate.contexts",
)
"""Knobs in the order in which they are settled; the others follow in the space's order."""

APPROXIMATE = (
    "index.kind",
    "index.nlist",
    "index.pq_m",
    "index.hnsw_m",
    "index.ef_construction",
    "embed.dim",
    "retrieve.nprobe",
    "retrieve.ef_search",
    "retrieve.refine",
)
"""Knobs of the reference pipeline that trade exactness of the vector search. What an app's own
knobs do is not known from their names."""

CONTEXTS = "generate.contexts"

RUNGS = 10
"""Steps through the range of a number that has no grid."""

STRIDES = (2, 1)
"""Steps along the grid of an ordered knob: coarse first, then fine."""

SWEEPS = 3
LEAST_GAIN = 1e-9

Known = Mapping[Config, Mapping[str, float]]
"""What was measured, by config; empty for trials that gave no result."""

Descent = Generator[Config, None, Config]
"""Yields configs to measure and returns the best."""


class ModelFirstGreedy:
    """Coordinate descent from the default config."""

    name = "greedy"

    def __init__(self, space: Space, objective: Objective, seed: int) -> None:
        self._space = space
        self._objective = objective
        self._then = RandomSearch(space, objective, seed)

    def propose(
        self, trials: Sequence[Trial], used: float = 0.0, most_s: float = math.inf
    ) -> Proposal | Stop:
        known = {t.config: t.metrics if t.state == "finished" else {} for t in trials}
        for config in self._walk(known):
            if config not in known:
                return Proposal(config)
        return self._then.propose(trials, used, most_s)

    def best(self, trials: Sequence[Trial]) -> Trial:
        return best_trial(trials, self._objective)

    def _walk(self, known: Known) -> Iterator[Config]:
        """Yield configs whose measurements the descent needs, in order; each is in ``known`` when
        the walk goes on after it."""
        best = self._space.default()
        yield best
        for _ in range(SWEEPS):
            before = best
            for knob in self._ordered_knobs():
                if knob.name in best and self._pays(knob, known[best]):
                    best = yield from self._settle(knob, best, known)
            if best == before:
                break

    def _settle(self, knob: Knob, best: Config, known: Known) -> Descent:
        """Try the knob's values around ``best``; the generator returns the better config."""
        if not knob.domain.ordered:
            for value in knob.domain.neighbours(best[knob.name]):
                moved = self._space.moved(best, knob.name, value)
                if moved is not None:
                    moved = yield from self._fitted(moved, best, known)
                    best = self._better(best, moved, known)
            return best
        for stride in STRIDES:
            for direction in (1, -1):
                best = yield from self._climb(knob, best, stride * direction, known)
        return best

    def _climb(self, knob: Knob, best: Config, step: int, known: Known) -> Descent:
        """Walk along the grid by ``step`` while the config gets better."""
        while True:
            moved = self._stepped(knob, best, step)
            if moved is None:
                return best
            moved = yield from self._fitted(moved, best, known)
            if self._better(best, moved, known) is best:
                return best
            best = moved

    def _fitted(self, moved: Config, best: Config, known: Known) -> Descent:
        """The config, or when it is better but for the bound on context tokens, the same with as
        many contexts as the bound allows: their tokens are proportional to their number."""
        yield moved
        measured = known[moved]
        missed = self._objective.violations(measured)
        gain = self._objective.cost(known[best]) - self._objective.cost(measured)
        if [s.metric for s in missed] != ["context_tokens"] or not gain > LEAST_GAIN:
            return moved
        contexts = moved.get(CONTEXTS)
        if not isinstance(contexts, int) or not measured.get("context_tokens"):
            return moved
        most = contexts * missed[0].bound / measured["context_tokens"]
        fewer = [g for g in self._space[CONTEXTS].domain.grid if float(g) <= most]
        fitted = self._space.moved(moved, CONTEXTS, fewer[-1]) if fewer else None
        if fitted is None:
            return moved
        yield fitted
        return fitted

    def _stepped(self, knob: Knob, config: Config, step: int) -> Config | None:
        ladder = _ladder(knob.domain, config[knob.name])
        at = ladder.index(config[knob.name]) + step
        return self._space.moved(config, knob.name, ladder[at]) if 0 <= at < len(ladder) else None

    def _better(self, best: Config, moved: Config, known: Known) -> Config:
        (missed, cost), (missed_now, cost_now) = (
            self._objective.rank(known[c]) for c in (best, moved)
        )
        if missed_now != missed:
            return moved if missed_now < missed else best
        return moved if cost_now < cost - LEAST_GAIN else best

    def _ordered_knobs(self) -> list[Knob]:
        first = {name: i for i, name in enumerate(FIRST)}
        useful = [k for k in self._space if len(k.domain.grid) != 1]
        return sorted(useful, key=lambda k: first.get(k.name, len(first)))

    def _pays(self, knob: Knob, measured: Mapping[str, float]) -> bool:
        """Whether the knob can help from a config with these measurements.

        Where quality is the objective, approximate search, shorter vectors and system knobs can
        only help to hold an SLO that is missed, and what the generator gets cannot change a
        ranking.
        """
        kind = metric(self._objective.metric).kind
        missed = [s.metric for s in self._objective.violations(measured)]
        if kind not in ("ranking", "answer"):
            return True
        if not knob.algorithmic or knob.name in APPROXIMATE:
            return any(m != "context_tokens" for m in missed)
        if knob.stage == "generate" and kind == "ranking":
            return any(m == "context_tokens" or metric(m).needs_generation for m in missed)
        return True


def _ladder(domain: Domain, value: Value) -> Sequence[Value]:
    """The values of an ordered domain to walk along, ``value`` among them."""
    even = (domain.decode((i / RUNGS,)) for i in range(RUNGS + 1))
    rungs = domain.grid or tuple(dict.fromkeys(even))
    return rungs if value in rungs else sorted((*rungs, value))
