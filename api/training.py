"""Training as a use case: from what models learn, and what is kept about a set beside its models.

A set is identified by what it was made from (``data``: the examples, the columns that models read,
the version and the seed): made from the same, it would be the same, so it is not made again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from autorag.hashing import address
from autorag.ports import Progress
from autorag.table.files import read_machines, read_table, table_hash
from models.accuracy import Accuracy
from models.boosting import PARAMETERS, ROUNDS
from models.examples import Example, table_examples, table_searches
from models.files import SCHEMA
from models.recall import Searched
from models.training import ModelSet, train

OWN_TABLE = Path(__file__).parents[1] / "benchmarks" / "table"
"""The measured table, where the project has its own beside it."""


@dataclass(frozen=True)
class Material:
    """What models learn from.

    Attributes:
        table: hash of the measured table among it, None without one.
    """

    examples: tuple[Example, ...]
    searched: tuple[Searched, ...]
    table: str | None

    @property
    def measured_until(self) -> int:
        """When the newest times were taken, in seconds since the epoch; 0 without any."""
        moments = [t.measured_at for e in self.examples for t in e.timed]
        return math.ceil(np.nanmax(np.concatenate(moments))) if moments else 0

    @cached_property
    def corpora(self) -> dict[str, str]:
        """Corpus → what identifies what was measured of it."""
        digests: dict[str, Any] = {}
        for e in self.examples:
            digest = digests.setdefault(e.corpus, blake2b(digest_size=20))
            digest.update(address([e.workload, e.corpus, e.labelled]).encode())
            for array in (e.described, e.knobs, e.quality, *_timed(e)):
                digest.update(np.ascontiguousarray(array).tobytes())
        for one in self.searched:
            digest = digests.setdefault(one.corpus, blake2b(digest_size=20))
            digest.update(one.rows.tobytes() + one.recall.tobytes())
        return {corpus: digest.hexdigest() for corpus, digest in digests.items()}

    @cached_property
    def digest(self) -> str:
        """Identifies what was measured."""
        return address(self.corpora)

    def data(self, seed: int) -> str:
        """Identifies a set of models that is trained on this with this seed."""
        made_by = [SCHEMA, version("autorag-service"), PARAMETERS, ROUNDS, seed]
        return address([self.digest, made_by])


@dataclass(frozen=True)
class Made:
    """A new set, what others like it are worth on left-out corpora, and what is kept about it."""

    models: ModelSet
    accuracy: Accuracy
    about: Mapping[str, Any]


def of_table(folder: Path) -> Material:
    """What a measured table teaches.

    Raises:
        InputError: there is no table, or it cannot be read.
    """
    frame = read_table(folder)
    examples = table_examples(frame, read_machines(folder))
    return Material(tuple(examples), tuple(table_searches(frame)), table_hash(frame))


def make(material: Material, seed: int, progress: Progress = lambda *_: None) -> Made:
    """Train.

    Raises:
        InputError: too little was measured.
    """
    trained = train(material.examples, material.searched, seed=seed, progress=progress)
    accuracy = Accuracy.of(trained.held, trained.recall)
    examples = material.examples
    about = {
        "version": version("autorag-service"),
        "data": material.data(seed),
        "corpora_digests": material.corpora,
        "table": material.table,
        "measured_until": material.measured_until,
        "workloads": len(examples),
        "corpora": len({e.corpus for e in examples}),
        "searches": sum(len(one.recall) for one in material.searched),
        "rows": sum(len(t.configs) for e in examples for t in e.timed),
        "seed": seed,
        "accuracy": accuracy.to_json(),
    }
    return Made(trained.models, accuracy, about)


def _timed(example: Example) -> Iterable[np.ndarray]:
    for timed in example.timed:
        yield np.frombuffer(timed.machine.encode(), dtype=np.uint8)
        yield timed.knobs
        yield from (timed.measured[metric] for metric in sorted(timed.measured))
