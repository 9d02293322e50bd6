"""The stage DAG, content-addressed artifact keys, and what a changed knob invalidates.

One rule everywhere: recompute from the first stage whose key changed, reuse everything before it.
A key is the hash of the stage's code version, the knobs it reads and the keys of its inputs, so
equal inputs give equal keys and any relevant change gives another::

    parse(d)  = H(version, format, hash of the raw document)                     per document
    chunk(d)  = H(version, knobs, tokenizer, content hash of parse(d))           per document
    embed(c)  = H(model @ revision, ...) as a namespace, then the chunk id       per chunk
    index     = H(version, build knobs, seed, multiset of embed keys, lineage)   per corpus
    rerank    = H(model @ revision) as a namespace, then the chunk id            per chunk
    generate  = H(model @ revision, sampling, prompt)                            per query

``VERSIONS`` is the code version of each stage: raise it whenever its output changes for equal
inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from autorag.hashing import address, multiset_address

if TYPE_CHECKING:
    from autorag.space import Config, Space

STAGES = ("parse", "chunk", "embed", "index", "retrieve", "rerank", "generate")
QUERY_STAGES = ("embed", "retrieve", "rerank", "generate")
"""The stages a query passes, in order."""

VERSIONS: Mapping[str, int] = {
    "parse": 1,
    "chunk": 1,
    "embed": 1,
    "index": 1,
    "lexical": 1,
    "rerank": 1,
    "generate": 1,
}

FRESH = "fresh"
"""Lineage of an index built in one go; an incrementally maintained one says so in its key."""


def parse_key(format_: str, raw_hash: str) -> str:
    """Key of one parsed document."""
    return address(["parse", VERSIONS["parse"], format_, raw_hash])


def chunk_namespace(knobs: Mapping[str, Any], tokenizer: str) -> str:
    """Namespace of the chunk boundaries; items are keyed by the content hash of the document."""
    return address(["chunk", VERSIONS["chunk"], dict(knobs), tokenizer])


def embed_namespace(revision: Mapping[str, Any]) -> str:
    """Namespace of the vectors of one embedder; items are keyed by chunk id."""
    return address(["embed", VERSIONS["embed"], dict(revision)])


def index_key(
    knobs: Mapping[str, Any],
    embed: str,
    chunk_ids: Iterable[bytes],
    *,
    seed: int,
    lineage: str = FRESH,
) -> str:
    """Key of a vector index over these chunks."""
    points = multiset_address(chunk_ids)
    return address(["index", VERSIONS["index"], dict(knobs), embed, points, seed, lineage])


def lexical_key(analyzer: str, chunk_ids: Iterable[bytes], *, lineage: str = FRESH) -> str:
    """Key of a lexical index: its statistics are frozen with it."""
    points = multiset_address(chunk_ids)
    return address(["lexical", VERSIONS["lexical"], analyzer, points, lineage])


def rerank_namespace(revision: Mapping[str, Any]) -> str:
    """Namespace of cached document token vectors; items are keyed by chunk id."""
    return address(["rerank", VERSIONS["rerank"], dict(revision)])


def generate_key(revision: Mapping[str, Any], sampling: Mapping[str, Any], prompt: str) -> str:
    """Key of one answer: equal prompt, sampling and generator give the same answer."""
    parts = ["generate", VERSIONS["generate"], dict(revision), dict(sampling), prompt]
    return address(parts)


def stage_knobs(config: Config, stage: str) -> dict[str, Any]:
    """The values of one stage's knobs."""
    return {k: v for k, v in config.items() if k.startswith(stage + ".")}


def first_invalidated(space: Space, before: Config, after: Config) -> str | None:
    """The first stage that must be recomputed when ``before`` becomes ``after``.

    None when no result depends on what changed (equal configs, or system knobs only).
    """
    changed = before.changed(after)
    stages = [space[name].stage for name in changed]
    hit = [s for s in stages if s is not None]
    return min(hit, key=STAGES.index) if hit else None
