"""What configs need built, which of it they share, and what it costs according to the table.

Chunks are shared by equal chunk knobs, token vectors and the lexical index too; vectors by the
embedder as well (they are cut to ``embed.dim`` afterwards), and the vector index by all of these
and its own knobs. Where a config that needs token vectors embeds with the model that makes them,
one pass gives both. An artifact has one price: the median over the rows that need it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from autorag.errors import InputError
from autorag.space import Config
from autorag.stages import stage_knobs

SHARED_PASS = "minilm-int8"
"""The embedder whose vectors come with the token vectors."""

Row = Mapping[str, Any]


class Artifact(NamedTuple):
    """Something built.

    Attributes:
        build: what it is, a key of ``schema.BUILDS``.
        made_of: the knobs that it depends on, as JSON.
        comes_with: the build that gives it for nothing when it is made for the same config.
    """

    build: str
    made_of: str
    comes_with: str = ""

    @property
    def stage(self) -> str:
        """The build stage of the pipeline; both indexes are one."""
        return "index" if self.build == "lexical" else self.build


def artifacts(config: Config) -> tuple[Artifact, ...]:
    """What a config needs built, in order."""
    chunk = stage_knobs(config, "chunk")
    needed = [Artifact("chunk", _named(chunk))]
    if config["rerank.model"] == "maxsim":
        needed.append(Artifact("rerank", _named(chunk)))
    if config["retrieve.mode"] != "lexical":
        model = config["embed.model"]
        vectors = {**chunk, "embed.model": model}
        index = {**chunk, **stage_knobs(config, "embed"), **stage_knobs(config, "index")}
        with_ = "rerank" if model == SHARED_PASS else ""
        needed += [Artifact("embed", _named(vectors), with_), Artifact("index", _named(index))]
    if config["retrieve.mode"] != "dense" or config["rerank.model"] == "bm25":
        needed.append(Artifact("lexical", _named(chunk)))
    return tuple(needed)


def charged(missing: Sequence[Artifact]) -> list[Artifact]:
    """Those of the artifacts that a config lacks that take time of their own."""
    builds = {a.build for a in missing}
    return [a for a in missing if a.comes_with not in builds]


def prices(rows: Sequence[tuple[Config, Row]]) -> dict[Artifact, float]:
    """Seconds of every artifact of rows of a table.

    Raises:
        InputError: a row lacks the seconds of something that its config needs.
    """
    seen: defaultdict[Artifact, list[float]] = defaultdict(list)
    for config, row in rows:
        for artifact in artifacts(config):
            figure = f"build.{artifact.build}_s"
            if row[figure] is None:
                raise InputError(f"the table has no {figure} of {config.canonical}", key=figure)
            seen[artifact].append(row[figure])
    return {artifact: median(seconds) for artifact, seconds in seen.items()}


def building_s(rows: Sequence[tuple[Config, Row]]) -> float:
    """Seconds of building everything that rows of a table need, once."""
    free: set[Artifact] = set()
    for config, _ in rows:
        needed = artifacts(config)
        free |= set(needed) - set(charged(needed))
    return sum(seconds for artifact, seconds in prices(rows).items() if artifact not in free)


def _named(knobs: Mapping[str, Any]) -> str:
    return json.dumps(knobs, sort_keys=True)
