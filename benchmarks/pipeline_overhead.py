"""What the reference pipeline costs on top of the libraries below it.

    python benchmarks/pipeline_overhead.py [--docs FOLDER] [--texts N] [--repeats N]

Three comparisons, each side by side in one process on one thread, with the repeats of both sides
interleaved (which side goes first alternates); the ratio is the median over repeats of ours over
theirs, with its quartiles:

1. *retrieve*: ``VectorSearch.search`` against ``faiss.Index.search``, same index, same parameters.
2. *embed documents*: ``Transformer.encode_documents`` against the model's own plain loop
   (float32: ``SentenceTransformer.encode``; int8: onnxruntime with tokenizer, padding, mean
   pooling, texts sorted by length), same batch.
3. *embed a query*: ``Transformer.encode_query`` against tokenizer, session, mean pooling.

The bar: at most 10 % slower each. The exit code says whether it holds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

BAR = 1.10
BATCH = 16
SEED = 0
SEARCHES = 500
K = 10

Run = Callable[[], Any]


@dataclass(frozen=True)
class Comparison:
    """Seconds of both sides, repeat by repeat, for ``units`` units of work."""

    name: str
    units: int
    ours: Sequence[float]
    theirs: Sequence[float]

    @property
    def ratios(self) -> list[float]:
        return [a / b for a, b in zip(self.ours, self.theirs, strict=True)]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    def row(self) -> str:
        mine, other = (statistics.median(s) / self.units * 1e6 for s in (self.ours, self.theirs))
        low, _, high = statistics.quantiles(self.ratios, n=4)
        verdict = "ok" if self.ratio <= BAR else "SLOWER"
        spread = f"{low:.3f}-{high:.3f}"
        return (
            f"{self.name:<28}{mine:>12.1f}{other:>12.1f}{self.ratio:>8.3f}  {spread:<14}{verdict}"
        )


def main() -> int:
    arguments = parse_arguments()
    texts = corpus_texts(arguments.docs)[: arguments.texts]
    print(f"corpus {arguments.docs or 'demo'}, {len(texts)} chunks of at most 256 tokens")
    print(f"one thread, batch {BATCH}, seed {SEED}, {arguments.repeats} interleaved repeats")
    print(f"load average {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores\n")
    print(f"{'':<28}{'ours us':>12}{'theirs us':>12}{'ratio':>8}  {'quartiles':<14}")
    worst = 0.0
    for comparison in comparisons(texts, arguments.repeats):
        print(comparison.row(), flush=True)
        worst = max(worst, comparison.ratio)
    print(f"\nworst ratio {worst:.3f}, bar {BAR:.2f}")
    return 0 if worst <= BAR else 1


def parse_arguments() -> argparse.Namespace:
    workloads = os.environ.get("AUTORAG_WORKLOADS")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(workloads) / "shift_new_wiki" if workloads else None
    parser.add_argument("--docs", type=Path, default=default)
    parser.add_argument("--texts", type=int, default=256, help="chunks embedded a repeat")
    parser.add_argument("--repeats", type=int, default=7)
    return parser.parse_args()


def corpus_texts(docs: Path | None) -> list[str]:
    """The chunks of the corpus under the default config, shuffled."""
    from autorag.documents import Document, load_documents
    from autorag.pipeline.artifacts import ArtifactStore
    from autorag.pipeline.chunks import chunk_corpus
    from autorag.pipeline.embedders import embedder_dims
    from autorag.pipeline.parse import parse_documents
    from autorag.pipeline.space import reference_space

    default = reference_space(embedder_dims(), generators=("unused",), cores=1).default()
    with tempfile.TemporaryDirectory() as folder:
        store = ArtifactStore(Path(folder))
        if docs is None:
            from autorag.demo import stdlib_documents

            documents = [Document(d.id, d.title, d.text) for d in stdlib_documents()]
        else:
            documents = parse_documents(load_documents(docs), store)[0]
        texts = chunk_corpus(documents, default, store)[0].texts
    return [texts[i] for i in np.random.default_rng(SEED).permutation(len(texts))]


def comparisons(texts: Sequence[str], repeats: int) -> Iterator[Comparison]:
    yield from search_comparisons(repeats)
    yield from query_comparisons(texts, repeats)
    yield from document_comparisons(texts, repeats)


def compare(name: str, units: int, ours: Run, theirs: Run, repeats: int) -> Comparison:
    """Time both after one untimed run each."""
    ours()
    theirs()
    seconds: tuple[list[float], list[float]] = ([], [])
    for repeat in range(repeats):
        for side in (0, 1) if repeat % 2 else (1, 0):
            started = time.perf_counter()
            (ours, theirs)[side]()
            seconds[side].append(time.perf_counter() - started)
    return Comparison(name, units, *seconds)


def search_comparisons(repeats: int) -> Iterator[Comparison]:
    from autorag.pipeline.index import build_index

    vectors = random_vectors(20_000)
    asked = random_vectors(SEARCHES)
    for knobs in (
        {"index.kind": "flat"},
        {"index.kind": "ivf_flat", "index.nlist": 1.0, "retrieve.nprobe": 8},
        {"index.kind": "hnsw", "index.hnsw_m": 16, "index.ef_construction": 80,
         "retrieve.ef_search": 64},
    ):  # fmt: skip
        index = build_index(vectors, knobs, SEED)
        yield compare_search(index, knobs, asked, 3 * repeats)


def compare_search(
    index: Any, knobs: dict[str, Any], asked: np.ndarray, repeats: int
) -> Comparison:
    import faiss

    from autorag.pipeline.index import VectorSearch

    search = VectorSearch(index, knobs, 1, None)
    parameters = None
    if "retrieve.nprobe" in knobs:
        parameters = faiss.SearchParametersIVF(nprobe=knobs["retrieve.nprobe"])
    if "retrieve.ef_search" in knobs:
        parameters = faiss.SearchParametersHNSW(efSearch=knobs["retrieve.ef_search"])

    def ours() -> None:
        for query in asked:
            search.search(query, K)

    def theirs() -> None:
        for query in asked:
            index.search(query[None], K, params=parameters)

    name = f"retrieve {knobs['index.kind']}"
    return compare(name, len(asked), ours, theirs, repeats)


def random_vectors(count: int) -> np.ndarray:
    """Unit vectors around a thousand centres, float32 ``(count, 384)``."""
    rng = np.random.default_rng(SEED)
    centres = rng.normal(size=(1000, 384))
    vectors = centres[rng.integers(1000, size=count)] + 0.7 * rng.normal(size=(count, 384))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)


class PlainInt8:
    """The shortest sensible loop over the int8 model."""

    def __init__(self) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        from autorag.pipeline.packages import minilm_int8_file, minilm_tokenizer_file

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            str(minilm_int8_file()), options, providers=["CPUExecutionProvider"]
        )
        self.tokenizer = Tokenizer.from_file(str(minilm_tokenizer_file()))
        self.tokenizer.enable_truncation(256)
        self.tokenizer.enable_padding()

    def encode(self, texts: Sequence[str], batch: int) -> np.ndarray:
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        vectors = np.empty((len(texts), 384), dtype=np.float32)
        for start in range(0, len(order), batch):
            part = order[start : start + batch]
            vectors[part] = self.pooled([texts[i] for i in part])
        return vectors

    def pooled(self, texts: Sequence[str]) -> np.ndarray:
        encoded = self.tokenizer.encode_batch(texts)
        ids = np.array([e.ids for e in encoded])
        mask = np.array([e.attention_mask for e in encoded])
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        states = self.session.run(None, feeds)[0]
        weights = mask[:, :, None].astype(np.float32)
        means = (states * weights).sum(axis=1) / weights.sum(axis=1)
        return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True))


def our_int8() -> Any:
    from autorag.pipeline.embedders import Transformer
    from autorag.pipeline.transformer import int8_encoder

    return Transformer(int8_encoder(1), 0)


def our_float32() -> Any:
    from autorag.pipeline.embedders import Transformer
    from autorag.pipeline.transformer import float32_encoder

    return Transformer(float32_encoder(1), 0)


def query_comparisons(texts: Sequence[str], repeats: int) -> Iterator[Comparison]:
    """Queries are the first twelve words of chunks."""
    ours, theirs = our_int8(), PlainInt8()
    asked = [" ".join(t.split()[:12]) for t in texts[:100]]
    yield compare(
        "embed a query, int8",
        len(asked),
        lambda: [ours.encode_query(q) for q in asked],
        lambda: [theirs.pooled([q]) for q in asked],
        3 * repeats,
    )


def document_comparisons(texts: Sequence[str], repeats: int) -> Iterator[Comparison]:
    int8, plain = our_int8(), PlainInt8()
    check_agreement("int8", int8.encode_documents(texts, 1), plain.encode(texts, 1))
    yield compare(
        "embed documents, int8",
        len(texts),
        lambda: int8.encode_documents(texts, 1),
        lambda: plain.encode(texts, 1),
        repeats,
    )
    float32, library = our_float32(), sentence_transformer()
    encode = {"batch_size": BATCH, "normalize_embeddings": True, "show_progress_bar": False}
    check_agreement(
        "float32", float32.encode_documents(texts, BATCH), library.encode(list(texts), **encode)
    )
    yield compare(
        "embed documents, float32",
        len(texts),
        lambda: float32.encode_documents(texts, BATCH),
        lambda: library.encode(list(texts), **encode),
        repeats,
    )


def sentence_transformer() -> Any:
    """MiniLM in sentence-transformers, reading as many tokens as ours."""
    import torch
    from sentence_transformers import SentenceTransformer

    from autorag.pipeline.packages import minilm_folder

    torch.set_num_threads(1)
    model = SentenceTransformer(str(minilm_folder()), device="cpu")
    model.max_seq_length = 256
    return model


def check_agreement(name: str, ours: np.ndarray, theirs: np.ndarray) -> None:
    """Both sides must do the same work: the median cosine of their vectors is 1."""
    cosine = float(np.median((ours * theirs).sum(axis=1)))
    if cosine < 0.999:
        raise SystemExit(f"{name}: the two sides disagree, median cosine {cosine:.4f}")


if __name__ == "__main__":
    sys.exit(main())
