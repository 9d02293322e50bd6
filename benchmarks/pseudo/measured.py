"""What was measured of one workload: labelled queries and every kind of pseudo-query, every config.

A workload is measured once and kept in a file, so a study can be stopped and goes on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autorag.pipeline.build import BuildContext
from autorag.space import Config
from autorag.table.sampling import drawn_documents
from autorag.workload import Workload
from benchmarks.pseudo.corpora import held_sentences
from benchmarks.pseudo.judging import judged
from benchmarks.pseudo.kinds import TODAY, Made, made_queries
from benchmarks.pseudo.words import Vocabulary, words

SHARES = (0.1, 0.25, 0.5)
"""Of the documents, for corpora from which documents were left out."""


@dataclass(frozen=True)
class Measured:
    """One workload.

    Attributes:
        documents: how many.
        configs: knobs, in the order of the columns.
        real: nDCG@10, ``(labelled queries, configs)``.
        kinds: the same on pseudo-queries, by kind.
        shares: the same on today's kind, by share of the documents.
        lengths: mean words of a query, by kind; ``"labelled"`` too.
    """

    name: str
    documents: int
    configs: tuple[Mapping[str, Any], ...]
    real: np.ndarray
    kinds: Mapping[str, np.ndarray]
    shares: Mapping[float, np.ndarray]
    lengths: Mapping[str, float]


def measure(
    workload: Workload,
    count: int,
    configs: Sequence[Config],
    context: BuildContext,
    rng: np.random.Generator,
) -> Measured:
    """Judge the configs on the workload's queries and on up to ``count`` of every kind."""
    held = held_sentences(workload.documents, rng, count)
    vocabulary = Vocabulary(workload.documents, context.models)
    corpora, made = made_queries(workload.documents, held, vocabulary, rng)
    real = judged(workload.documents, workload.queries, configs, context)
    kinds: dict[str, np.ndarray] = {}
    for name, documents in corpora.items():
        mine = {kind: m for kind, m in made.items() if m.corpus == name}
        asked = [q for m in mine.values() for q in m.queries]
        scores = judged(documents, asked, configs, context)
        kinds |= _split(scores, mine)
    shares = {}
    for share in SHARES:
        some = drawn_documents(corpora["cut"], round(share * len(workload.documents)), rng)
        ids = {d.id for d in some}
        asked = [q for q in made[TODAY].queries if q.units[0].doc in ids]
        if asked:
            shares[share] = judged(some, asked, configs, context)
    lengths = {"labelled": _length([q.question for q in workload.queries])}
    lengths |= {kind: _length([q.question for q in m.queries]) for kind, m in made.items()}
    columns = tuple(dict(c) for c in configs)
    return Measured(workload.name, len(workload.documents), columns, real, kinds, shares, lengths)


def save(measured: Measured, path: Path) -> None:
    """Keep it in a file; atomic."""
    about = {
        "name": measured.name,
        "documents": measured.documents,
        "configs": measured.configs,
        "lengths": measured.lengths,
    }
    arrays = {f"kind {k}": v for k, v in measured.kinds.items()}
    arrays |= {f"share {k}": v for k, v in measured.shares.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft.npz")
    arrays |= {"about": np.array(json.dumps(about)), "real": measured.real}
    np.savez_compressed(draft, **arrays)  # type: ignore[arg-type]
    draft.replace(path)


def load(path: Path) -> Measured:
    """The inverse of :func:`save`."""
    with np.load(path) as arrays:
        about = json.loads(str(arrays["about"]))
        named = [n.split(" ", 1) for n in arrays.files if " " in n]
        kinds = {n: arrays[f"kind {n}"] for what, n in named if what == "kind"}
        shares = {float(n): arrays[f"share {n}"] for what, n in named if what == "share"}
        return Measured(
            about["name"],
            about["documents"],
            tuple(about["configs"]),
            arrays["real"],
            kinds,
            shares,
            about["lengths"],
        )


def _split(scores: np.ndarray, made: Mapping[str, Made]) -> dict[str, np.ndarray]:
    """Rows of all kinds, one after the other, by kind."""
    ends = np.cumsum([len(m.queries) for m in made.values()])[:-1]
    return dict(zip(made, np.split(scores, ends), strict=True))


def _length(questions: Sequence[str]) -> float:
    return float(np.mean([len(words(q)) for q in questions]))
