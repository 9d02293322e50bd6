"""One workload of the suite: its documents and queries, its groups, and its rows."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from api.bench.suite import SuiteWorkload
from api.wiring import (
    SEED_PSEUDO,
    SEED_PSEUDO_AGAIN,
    SEED_SAMPLE,
    SEED_SPLIT,
    Parts,
    bind,
    load_corpus,
    load_workload,
    make_space,
    queries_beside,
    workload_features,
)
from autorag.hardware import HardwareProfile
from autorag.hashing import address
from autorag.ports import Progress
from autorag.queries import subsample
from autorag.space import Config
from autorag.table.design import designed, groups, judged_as
from autorag.table.sampling import drawn_documents, halved, sampled
from autorag.table.schema import QUALITY, SCHEMA, Part
from autorag.workload import Workload, pseudo_workload
from collectors.group.job import Phase
from collectors.group.measurer import GroupMeasurer, Judged

TIMED_QUERIES = 64


@dataclass(frozen=True, slots=True)
class Step:
    """One group of configs in one phase; ``repeat`` counts those of ``timing`` from 0."""

    part: Part
    phase: Phase
    repeat: int
    configs: tuple[Config, ...]

    @property
    def title(self) -> str:
        """What is measured, for people."""
        return "quality" if self.phase == "quality" else f"times, repeat {self.repeat}"

    @property
    def round(self) -> int:
        """When its turn comes: quality first, then one repeat of all workloads after the other."""
        return 0 if self.phase == "quality" else self.repeat + 1

    @property
    def file_name(self) -> str:
        """Where its rows are kept; other configs have another name."""
        configs = address([SCHEMA, [c.canonical for c in self.configs]])
        return f"{self.part}-{self.phase}-{self.repeat}-{configs}.json"


class BenchWorkload:
    """A workload as the table has it.

    Args:
        repeats: how often times are taken.
        known: rows that the table has; those of other documents or queries do not count.

    Attributes:
        real: the documents and queries that are measured.
        timed: ids of the queries whose times are taken.
    """

    def __init__(
        self,
        given: SuiteWorkload,
        parts: Parts,
        repeats: int,
        known: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        self.name = given.name
        self._given = given
        self._parts = parts
        self._repeats = repeats
        self._home = parts.settings.home / "bench"
        self.real = self._load()
        timed = subsample(self.real.queries, TIMED_QUERIES, parts.rng(SEED_SAMPLE))
        self.timed = [q.id for q in timed]
        self._space = bind(make_space(), self.real)
        self._rows = self._home / "rows" / given.name / self.real.hash_hex[:16]
        self._known = [dict(r) for r in known if r["workload_hash"] == self.real.hash_hex]

    @cached_property
    def steps(self) -> list[Step]:
        """Every group in every phase, of the configs that the table lacks there. Configs that
        differ in system knobs are judged once."""
        judged = {(r["part"], r["config"]) for r in self._known}
        timed = {(r["part"], r["config"], r["repeat"]) for r in self._known if _timed(r)}
        found = []
        for part in self._given.parts:
            configs = designed(part, self._space)
            algorithmic = dict.fromkeys(judged_as(c, self._space) for c in configs)
            lacking = [c for c in algorithmic if (part, c.canonical) not in judged]
            found += [Step(part, "quality", 0, tuple(g)) for g in groups(lacking)]
            for repeat in range(self._repeats):
                lacking = [c for c in configs if (part, c.canonical, repeat) not in timed]
                found += [Step(part, "timing", repeat, tuple(g)) for g in groups(lacking)]
        return found

    def measured(self, step: Step) -> bool:
        """Whether the step's rows are there."""
        return (self._rows / step.file_name).is_file()

    def measure(self, step: Step, progress: Progress) -> None:
        """Measure a step and keep its rows, all or none.

        Raises:
            MeasurementError: it could not be measured.
        """
        generate = step.part == "generation" and step.phase == "timing"
        rows = self._measurer.measure(
            step.phase, step.configs, generate=generate, progress=progress
        )
        path = self._rows / step.file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}.draft")
        draft.write_text(json.dumps(rows), encoding="utf-8")
        draft.replace(path)

    def rows(self, profile: HardwareProfile) -> list[dict[str, Any]]:
        """Rows of the table: one a judged config and repeat whose times were taken, or one without
        times and machine. Configs that could not be measured have none."""
        common = self._common()
        machine = _machine(profile)
        judged = {(r["part"], r["config"]): _quality(r) for r in self._known}
        judged |= {(s.part, c.canonical): row for s, c, row in self._measured("quality")}
        rows = {_key(r): r for r in self._known if _timed(r)}
        for step, config, row in self._measured("timing"):
            quality = judged.get((step.part, judged_as(config, self._space).canonical))
            if quality is not None:
                made = {
                    **quality,
                    **common,
                    **machine,
                    **row,
                    "part": step.part,
                    "repeat": step.repeat,
                }
                rows[_key(made)] = made
        timed = {(part, config) for part, config, _ in rows}
        untimed = [
            {**quality, **common, "part": part, "config": config, "repeat": 0}
            for (part, config), quality in judged.items()
            if (part, config) not in timed
        ]
        return [*rows.values(), *untimed]

    def _measured(self, phase: Phase) -> Iterator[tuple[Step, Config, dict[str, Any]]]:
        """(step, config, row) of everything measured in a phase that the table lacks."""
        for step in self.steps:
            if step.phase == phase and self.measured(step):
                rows = json.loads((self._rows / step.file_name).read_text(encoding="utf-8"))
                by_name = {c.canonical: c for c in step.configs}
                yield from ((step, by_name[r["config"]], r) for r in rows if "failed" not in r)

    def _common(self) -> dict[str, Any]:
        """What all rows of the workload have in common."""
        features = workload_features(self.real, self._parts)
        return {
            "schema": SCHEMA,
            "workload": self.name,
            "corpus": self._given.corpus,
            "family": self._given.family,
            "workload_hash": self.real.hash_hex,
            "query_source": self.real.query_source,
            "documents": len(self.real.documents),
            **{f"feature.{name}": value for name, value in features.to_json()["values"].items()},
        }

    def _load(self) -> Workload:
        """The workload with as many documents and queries as the suite says; without queries,
        held-out sentences are the queries."""
        given, parts = self._given, self._parts
        rng = parts.rng(SEED_SAMPLE)
        if given.folder is None or queries_beside(given.folder) is not None:
            whole = load_workload(given.folder, None, parts)
            return replace(sampled(whole, given.documents, given.queries, rng), name=self.name)
        documents, reused = load_corpus(given.folder, parts)
        kept = drawn_documents(documents, given.documents, rng)
        return pseudo_workload(self.name, kept, parts.rng(SEED_PSEUDO), reused, given.queries)

    @cached_property
    def _measurer(self) -> GroupMeasurer:
        settings = self._parts.settings
        rng = self._parts.rng(SEED_SPLIT)
        return GroupMeasurer(
            Judged(self.real, halved(self.real.queries, rng)),
            self._pseudo(),
            self.timed,
            self._home,
            settings.models,
            self._parts.seed,
            settings.artifacts_bytes,
        )

    def _pseudo(self) -> Judged | None:
        """The documents with other sentences held out, or None where no part asks for it."""
        if "quality" not in self._given.parts:
            return None
        rng = self._parts.rng(SEED_PSEUDO_AGAIN)
        real = self.real
        made = pseudo_workload(self.name, real.documents, rng, True)
        return Judged(made, halved(made.queries, rng))


def _machine(profile: HardwareProfile) -> dict[str, Any]:
    """What rows with times have in common that were measured now."""
    rates = {f"hardware.{name}": rate.median for name, rate in profile.rates.items()}
    return {"hardware": profile.fingerprint, **rates}


def _timed(row: Mapping[str, Any]) -> bool:
    return row["measured_at"] is not None


def _quality(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the table without its times and the machine they were taken on."""
    return {k: v for k, v in row.items() if k in QUALITY and v is not None}


def _key(row: Mapping[str, Any]) -> tuple[Part, str, int]:
    return row["part"], row["config"], row["repeat"]
