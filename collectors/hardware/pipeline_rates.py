"""Rates of the pipeline's parts, through its own code: searches, embedders, late interaction.

Vectors and words are random: what they say does not change what a scan or a forward pass takes.
HNSW walks do depend on the data, so its figure is distances a second, counted by faiss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from autorag.hardware import EMBED_LENGTHS, PAIR_TOKENS, PQ_M
from autorag.pipeline.items import Ragged
from autorag.pipeline.packages import MINILM, MINILM_INT8, installed
from autorag.pipeline.transformer import (
    MAX_TOKENS,
    MINILM_DIM,
    SPECIAL,
    int8_encoder,
    unit,
)
from collectors.hardware.sampling import Probe, Sampling, Setting, taking

SEED = 0
K = 10
BLOCK_VECTORS = 4096
"""Distinct random vectors; larger indexes hold copies of them."""

PQ_VECTORS, PQ_TRAINING = 400_000, 2_048
HNSW_VECTORS, HNSW_M, HNSW_BUILD, HNSW_SEARCH, HNSW_QUERIES = 30_000, 16, 16, 64, 100
BM25_CHUNKS, BM25_WORDS = 50_000, 8
STATIC_TEXTS, STATIC_TOKENS = 256, 128
PAIRS = 20


def flat_scan(setting: Setting) -> Iterator[Sampling]:
    """One query against float32 vectors beyond the cache."""
    faiss = _faiss(setting)
    size, note = setting.array_bytes()
    rows = size // (4 * MINILM_DIM)
    index = faiss.IndexFlatIP(MINILM_DIM)
    for start in range(0, rows, BLOCK_VECTORS):
        index.add(_vectors(BLOCK_VECTORS)[: rows - start])
    query = _vectors(1)
    work = rows * 4e-9 * MINILM_DIM
    run = partial(index.search, query, K)
    told = f"{rows} vectors of {MINILM_DIM}" + (f", {note}" if note else "")
    yield Sampling(taking("flat_scan_gb_s", run, work, setting), told)


def pq_scan(setting: Setting) -> Iterator[Sampling]:
    """One query against 4-bit codes, half a byte a sub-quantiser."""
    faiss = _faiss(setting)
    rows = setting.size(PQ_VECTORS)
    index = faiss.IndexPQFastScan(MINILM_DIM, PQ_M, 4, faiss.METRIC_INNER_PRODUCT)
    vectors = _vectors(BLOCK_VECTORS)
    index.train(vectors[:PQ_TRAINING])
    for start in range(0, rows, BLOCK_VECTORS):
        index.add(vectors[: rows - start])
    work = rows * PQ_M / 2 / 1e9
    take = taking("pq_scan_gb_s", partial(index.search, vectors[:1], K), work, setting)
    yield Sampling(take, f"{rows} codes of {PQ_M // 2} bytes")


def hnsw(setting: Setting) -> Iterator[Sampling]:
    """Distances of walks for different queries, as many as faiss counts."""
    faiss = _faiss(setting)
    rows = setting.size(HNSW_VECTORS)
    index = faiss.IndexHNSWFlat(MINILM_DIM, HNSW_M, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = HNSW_BUILD
    vectors = _vectors(rows)
    index.add(vectors)
    queries = vectors[: min(rows, HNSW_QUERIES)]
    parameters = faiss.SearchParametersHNSW(efSearch=HNSW_SEARCH)

    def search() -> None:
        for query in queries:
            index.search(query[None], K, params=parameters)

    statistics = faiss.cvar.hnsw_stats
    statistics.reset()
    search()
    take = taking("hnsw_distances_s", search, statistics.ndis, setting)
    small = vectors.nbytes <= setting.cache_bytes
    note = f"{rows} vectors of {MINILM_DIM}" + (", within the last-level cache" if small else "")
    yield Sampling(take, note)


def bm25(setting: Setting) -> Iterator[Sampling]:
    """Scores of all chunks for a query whose words each stand in half of them."""
    from autorag.pipeline.lexical import LexicalSearch

    chunks = setting.size(BM25_CHUNKS)
    held = np.random.default_rng(SEED).random((chunks, BM25_WORDS)) < 0.5
    words = np.array([f"w{i}q" for i in range(BM25_WORDS)])
    search = LexicalSearch.build([" ".join(words[row]) for row in held])
    query = " ".join(words)
    take = taking("bm25_postings_s", partial(search.scores, query), float(held.sum()), setting)
    yield Sampling(take, f"{chunks} chunks, {BM25_WORDS} words")


def embed(setting: Setting) -> Iterator[Sampling]:
    """Texts of exact lengths, special tokens counted, through tokenizer, model and pooling."""
    encoder = int8_encoder(setting.threads)
    for length in EMBED_LENGTHS:
        windows = -(-length // MAX_TOKENS)
        text = _text(length - SPECIAL * windows)
        name = f"embed_{length}_{setting.span}_tokens_s"
        run = partial(encoder.encode, [text], 1, tokens=False)
        note = f"{windows} windows of {length // windows}" if windows > 1 else ""
        yield Sampling(taking(name, run, length, setting), note)


def static(setting: Setting) -> Iterator[Sampling]:
    """Many texts at once, as documents are embedded."""
    from autorag.pipeline.embedders import Static, static_folder

    embedder = Static(static_folder(setting.models))
    texts = [_text(STATIC_TOKENS)] * setting.size(STATIC_TEXTS)
    run = partial(embedder.encode_documents, texts, 1)
    tokens = STATIC_TOKENS * len(texts)
    yield Sampling(taking("static_tokens_s", run, tokens, setting), f"texts of {STATIC_TOKENS}")


def maxsim(setting: Setting) -> Iterator[Sampling]:
    """Chunks scored for a query that is encoded already."""
    from autorag.pipeline.rerank import MaxSim, quantised

    query_tokens, chunk_tokens = PAIR_TOKENS
    chunks = [quantised(_vectors(chunk_tokens, seed)) for seed in range(PAIRS)]
    starts = np.arange(PAIRS + 1, dtype=np.int64) * chunk_tokens
    reranker = MaxSim(int8_encoder(setting.threads), Ragged(np.concatenate(chunks), starts))
    query, rows = _text(query_tokens), np.arange(PAIRS)
    run = partial(reranker.scores, query, rows)
    note = f"{query_tokens} × {chunk_tokens} tokens, {PAIRS} chunks"
    yield Sampling(taking("maxsim_pairs_s", run, PAIRS, setting), note)


def lacks(*packages: str) -> Callable[[Setting], str | None]:
    """What says which of these packages is not installed."""

    def reason(_: Setting) -> str | None:
        absent = [p for p in packages if not installed(p)]
        return f"not installed: {', '.join(absent)}" if absent else None

    return reason


def lacks_static(setting: Setting) -> str | None:
    """The static embedder is made once per machine, by the first study that uses it."""
    if absent := lacks("model2vec", MINILM)(setting):
        return absent
    from autorag.pipeline.embedders import static_folder

    there = static_folder(setting.models).is_dir()
    return None if there else "not made yet: the first `autorag tune` makes it"


def probes(span: str) -> list[Probe]:
    """Embedding on one core or on all; the rest on one."""
    figures = tuple(f"embed_{length}_{span}_tokens_s" for length in EMBED_LENGTHS)
    encoder = lacks("onnxruntime", "tokenizers", MINILM, MINILM_INT8)
    embedding = Probe("embedding", figures, embed, encoder)
    if span == "all":
        return [embedding]
    return [
        Probe("flat scan", ("flat_scan_gb_s",), flat_scan, lacks("faiss")),
        Probe("PQ scan", ("pq_scan_gb_s",), pq_scan, lacks("faiss")),
        embedding,
        Probe("late interaction", ("maxsim_pairs_s",), maxsim, encoder),
        Probe("static embedder", ("static_tokens_s",), static, lacks_static),
        Probe("BM25", ("bm25_postings_s",), bm25, lacks("bm25s", "Stemmer")),
        Probe("HNSW", ("hnsw_distances_s",), hnsw, lacks("faiss")),
    ]


def _faiss(setting: Setting) -> Any:
    """The library, with the setting's threads."""
    import faiss

    faiss.omp_set_num_threads(setting.threads)
    return faiss


def _vectors(rows: int, seed: int = SEED) -> np.ndarray:
    """Random unit vectors, float32 ``(rows, MINILM_DIM)``."""
    rng = np.random.default_rng(seed)
    return unit(rng.standard_normal((rows, MINILM_DIM), dtype=np.float32))


def _text(tokens: int) -> str:
    """Random words of one token each."""
    from autorag.pipeline.tokens import tokenizer

    whole = sorted(w for w in tokenizer().get_vocab() if w.isascii() and w.isalpha())
    return " ".join(np.random.default_rng(SEED).choice(whole, tokens))
