"""The composition root: makes the parts and hands them to each other."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from api.settings import Settings
from autorag.documents import Document, RawDocument, load_documents
from autorag.errors import DocumentsError, InputError
from autorag.features import WorkloadFeatures
from autorag.hardware import HardwareProfile
from autorag.limits import usable_cores
from autorag.ports import Progress, SystemClock
from autorag.queries import load_queries
from autorag.space import CorpusFacts, Space
from autorag.workload import Workload, pseudo_workload

DEMO = "stdlib-docs"
SEED_PSEUDO, SEED_SPLIT, SEED_SAMPLE, SEED_BOOTSTRAP, SEED_FEATURES, SEED_PSEUDO_AGAIN = range(6)
"""Streams of random numbers, one per purpose: ``np.random.default_rng([seed, stream])``."""


@dataclass(frozen=True)
class Parts:
    """What every command needs."""

    settings: Settings
    seed: int
    clock: SystemClock

    def rng(self, stream: int) -> np.random.Generator:
        """A generator of its own for each purpose."""
        return np.random.default_rng([self.seed, stream])


def make_parts(settings: Settings, seed: int) -> Parts:
    """The parts for one command.

    Raises:
        InputError: the home folder cannot be used.
    """
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"AUTORAG_HOME = {settings.home}: {error.strerror}",
            key="AUTORAG_HOME",
            value=str(settings.home),
        ) from error
    if not os.access(settings.home, os.W_OK):
        raise InputError(
            f"AUTORAG_HOME = {settings.home}: not writable",
            key="AUTORAG_HOME",
            value=str(settings.home),
        )
    return Parts(settings, seed, SystemClock())


def hardware_profile(
    parts: Parts, progress: Progress | None = None, *, again: bool = False, whole: bool = False
) -> HardwareProfile:
    """The profile of this machine: remembered, or measured now (a minute at most).

    Args:
        whole: what there was no time for before is measured now.
    """
    from collectors.hardware import Machine, machine_profile

    machine = Machine(parts.settings.home, parts.settings.models, parts.clock, progress)
    return machine_profile(machine, again=again, whole=whole)


def make_space(cross_encoders: Iterable[str] = ()) -> Space:
    """The reference pipeline's space of what is installed on this machine."""
    from autorag.pipeline.embedders import embedder_dims
    from autorag.pipeline.generate import generators
    from autorag.pipeline.space import reference_space

    return reference_space(
        embedder_dims(),
        generators=generators(),
        cross_encoders=tuple(cross_encoders),
        cores=usable_cores(),
    )


def cross_encoder_paths(values: Iterable[Mapping[str, Any]]) -> list[str]:
    """Values of ``rerank.model`` that are folders of a model."""
    named = [str(v["rerank.model"]) for v in values if "rerank.model" in v]
    return [n for n in named if (Path(n) / "config.json").is_file()]


def bind(space: Space, workload: Workload) -> Space:
    """The space whose validity knows the workload's documents."""
    return space.for_corpus(CorpusFacts(tuple(document_tokens(workload))))


def workload_features(workload: Workload, parts: Parts) -> WorkloadFeatures:
    """What the documents and queries are, in numbers; those that need the static embedder are
    unknown before it is prepared."""
    from collectors.features import installed_models, workload_features

    models = installed_models(parts.settings.models)
    return workload_features(workload, models, parts.rng(SEED_FEATURES))


def document_tokens(workload: Workload) -> list[int]:
    """Tokens of every distinct document."""
    from autorag.pipeline.tokens import token_counts

    distinct = {d.content_hash: d.text for d in workload.documents}
    return token_counts(list(distinct.values()))


def load_workload(docs: Path | None, queries: Path | None, parts: Parts) -> Workload:
    """The workload at these paths, or the demo; pseudo-queries where there are no queries.

    Raises:
        DocumentsError, QueriesError: see :func:`load_documents`, :func:`load_queries`.
    """
    if queries is not None and not queries.is_file():
        load_queries(queries, {})
    documents, reused = load_corpus(docs, parts)
    name = DEMO if docs is None else docs.resolve().stem
    by_id = {d.id: d for d in documents}
    if docs is None and queries is None:
        return Workload(name, tuple(documents), _demo_queries(by_id), "labelled", reused)
    path = queries or (queries_beside(docs) if docs is not None else None)
    if path is None:
        return pseudo_workload(name, documents, parts.rng(SEED_PSEUDO), reused)
    return Workload(name, tuple(documents), tuple(load_queries(path, by_id)), "labelled", reused)


def load_corpus(docs: Path | None, parts: Parts) -> tuple[list[Document], bool]:
    """The documents at this path, or the demo's, and whether parsing was answered from the store.

    Raises:
        DocumentsError: see :func:`load_documents`; or no document holds any text.
    """
    from autorag.pipeline.artifacts import ArtifactStore
    from autorag.pipeline.parse import parse_documents

    store = ArtifactStore(parts.settings.artifacts, parts.settings.artifacts_bytes)
    raw = _demo_documents() if docs is None else load_documents(docs)
    documents, reused = parse_documents(raw, store)
    if not any(d.text.strip() for d in documents):
        raise DocumentsError(f"{docs}: no document holds any text", key="docs", value=str(docs))
    return documents, reused


def queries_beside(docs: Path) -> Path | None:
    """``queries.jsonl`` in the folder, or beside the corpus file."""
    path = (docs if docs.is_dir() else docs.parent) / "queries.jsonl"
    return path if path.is_file() and path != docs else None


def _demo_documents() -> list[RawDocument]:
    from autorag.demo import stdlib_documents

    return [RawDocument(d.id, d.title, d.text.encode(), "record") for d in stdlib_documents()]


def _demo_queries(documents: Mapping[str, Document]) -> tuple[Any, ...]:
    from autorag.demo import demo_questions
    from autorag.queries import query_from_row

    return tuple(
        query_from_row(row, f"demo question {row['id']}", documents) for row in demo_questions()
    )
