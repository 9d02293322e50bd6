"""Chunking a corpus: which chunks there are, what is embedded for each, where each stands.

A chunk is its embedded text: the document's title, a line break, and a span of the document. Its
id is the hash of that text alone, so the same text in two documents is one chunk (one vector)
with two occurrences, and chunks that survive a change of chunk size keep their vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autorag.documents import Document
from autorag.evaluation.gold import Retrieved
from autorag.hashing import text_id
from autorag.pipeline.artifacts import ArtifactStore
from autorag.pipeline.items import ItemCache, fixed_batches
from autorag.pipeline.splitters import Tokens, split
from autorag.pipeline.tokens import token_counts, tokenizer, tokenizer_id
from autorag.space import Config
from autorag.stages import chunk_namespace, stage_knobs

BATCH = 2000


@dataclass(frozen=True)
class Chunks:
    """The distinct chunks of a corpus, in order of first occurrence.

    Attributes:
        ids: chunk ids, 20 raw bytes each.
        texts: embedded texts.
        tokens: tokens of each text, title included, int32 ``(n,)``.
        occurrences: for every chunk, where it stands.
    """

    ids: list[bytes]
    texts: list[str]
    tokens: np.ndarray
    occurrences: list[list[Retrieved]]

    def __len__(self) -> int:
        return len(self.ids)


def chunk_corpus(
    documents: Sequence[Document], config: Config, store: ArtifactStore
) -> tuple[Chunks, bool, float]:
    """Chunk a corpus; returns the chunks, whether all boundaries were known, and the seconds that
    finding the boundaries took, whenever that was."""
    bounds, reused, seconds = _boundaries(documents, config, store)
    titles = [f"{d.title}\n" if d.title else "" for d in documents]
    title_tokens = token_counts(titles)
    at: dict[bytes, int] = {}
    chunks = Chunks([], [], np.empty(0, dtype=np.int32), [])
    tokens: list[int] = []
    for i, document in enumerate(documents):
        for start, end, count in bounds[i].tolist():
            text = titles[i] + document.text[start:end]
            id_ = text_id(text)
            row = at.setdefault(id_, len(at))
            if row == len(tokens):
                chunks.ids.append(id_)
                chunks.texts.append(text)
                chunks.occurrences.append([])
                tokens.append(count + title_tokens[i])
            chunks.occurrences[row].append(Retrieved(document.id, start, end))
    counted = Chunks(chunks.ids, chunks.texts, np.array(tokens, dtype=np.int32), chunks.occurrences)
    return counted, reused, seconds


def _boundaries(
    documents: Sequence[Document], config: Config, store: ArtifactStore
) -> tuple[list[np.ndarray], bool, float]:
    knobs = stage_knobs(config, "chunk")
    keys = [bytes.fromhex(d.content_hash) for d in documents]
    distinct = list(dict.fromkeys(keys))
    source = dict(zip(keys, documents, strict=True))

    def compute(positions: Sequence[int]) -> list[np.ndarray]:
        texts = [source[distinct[i]].text for i in positions]
        return [_split(t, config) for t in tokenized(texts)]

    cache = ItemCache(store, "chunk", chunk_namespace(knobs, tokenizer_id()))
    filled = cache.fill(distinct, compute, fixed_batches(len(distinct), BATCH))
    position = {k: i for i, k in enumerate(distinct)}
    bounds = [filled.items[position[k]] for k in keys]
    return bounds, filled.computed == 0, filled.seconds


def tokenized(texts: Sequence[str]) -> list[Tokens]:
    """Texts with their tokens, special tokens left out."""
    encodings = tokenizer().encode_batch(list(texts), add_special_tokens=False)
    return [
        Tokens(
            text,
            np.array(e.offsets, dtype=np.int32).reshape(-1, 2),
            np.array(e.ids, dtype=np.int64),
        )
        for text, e in zip(texts, encodings, strict=True)
    ]


def _split(tokens: Tokens, config: Config) -> np.ndarray:
    if len(tokens) == 0:
        return np.empty((0, 3), dtype=np.int32)
    overlap = float(config.get("chunk.overlap", 0.0))
    return split(tokens, str(config["chunk.splitter"]), int(config["chunk.tokens"]), overlap)
