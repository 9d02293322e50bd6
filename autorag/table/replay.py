"""Answering from the measured table instead of measuring: thousands of studies in minutes.

``Answers`` is one workload's rows, read once: what every config answers, and the seconds of every
build. ``Replay`` is a :class:`autorag.ports.Measurer` over them, new for every study, that
remembers what the study has built and lets its clock pass by the recorded seconds::

    answers = Answers.of(read_table(folder), "xquad_en", View(repeat=0, half="a"))
    clock = ReplayClock()
    Study(plan, Replay(answers, clock), ...)

A study searches on one view and is judged on another (another repeat, the other half), since the
best of many noisy values is not as good as it looks.

**Seconds.** A measurement takes ``start_s``, then the builds that the study lacks, then ``query_s``
per timed query for every query asked. A build is charged once in a study, to the config that needs
it first, at a price that does not depend on which that is (``autorag.table.builds``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from autorag.errors import InputError, MeasurementCancelled, MeasurementError
from autorag.metrics import METRICS
from autorag.ports import Measurement, Progress
from autorag.racing import Race
from autorag.space import Config
from autorag.table.builds import Artifact, Row, artifacts, charged, prices
from autorag.table.schema import CONTEXTS, PSEUDO, RANKING_METRICS, TIMED_STAGES, Part

if TYPE_CHECKING:
    import polars

CONTEXTS_KNOB = "generate.contexts"

_SAME_ON_EVERY_VIEW = (
    "ann_recall_at_10",
    "answer_f1",
    "answer_em",
    "latency_p50_ms",
    "latency_p95_ms",
    "ttft_p95_ms",
    "end_to_end_p95_ms",
    "memory_mb",
)
"""Metrics that stand in the table under their own name."""


@dataclass(frozen=True, slots=True)
class View:
    """Which of the repeats, and which of the queries, answer.

    Attributes:
        repeat: of times.
        half: of the queries whose ranking metrics are given; None for all.
        pseudo: ranking metrics are those on pseudo-queries.
    """

    repeat: int = 0
    half: Literal["a", "b"] | None = None
    pseudo: bool = False

    def column(self, metric: str) -> str:
        """The column of a ranking metric."""
        return f"{PSEUDO if self.pseudo else ''}{metric}{f'.{self.half}' if self.half else ''}"


@dataclass
class ReplayClock:
    """Time that passes by recorded seconds; ``now`` is seconds from the start of the study."""

    now: float = 0.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@dataclass(frozen=True, slots=True)
class Answer:
    """What one config answers.

    Attributes:
        metrics: all but ``build_s``.
        stages: query stage → ``{"p50_ms", "p95_ms"}``.
        builds: artifacts it needs, in the order in which they are made.
        query_s: seconds a query.
    """

    metrics: Mapping[str, float]
    stages: Mapping[str, Mapping[str, float]]
    builds: tuple[Artifact, ...]
    start_s: float
    query_s: float
    conditions: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answers:
    """What the configs of one part of one workload answer on one view.

    Attributes:
        measured: the configs of the rows, in the order of the table.
        by_config: those and, but for the generation part, the same with other numbers of contexts,
            which rank alike.
        prices: seconds of every artifact.
    """

    workload: str
    view: View
    measured: tuple[Config, ...]
    by_config: Mapping[Config, Answer]
    prices: Mapping[Artifact, float]

    @classmethod
    def of(
        cls, frame: polars.DataFrame, workload: str, view: View, part: Part = "quality"
    ) -> Answers:
        """The answers of a table as ``read_table`` gives it, of rows whose times were taken.

        Raises:
            InputError: it has no such rows.
        """
        rows = frame.filter(workload=workload, part=part).rows(named=True)
        found = [(_config(row["config"]), row) for row in rows]
        timed = [(config, row) for config, row in found if row["query_s"] is not None]
        asked = [(config, row) for config, row in timed if row["repeat"] == view.repeat]
        if not asked:
            raise InputError(
                f"the table has no repeat {view.repeat} of {workload!r} in its {part} part",
                key="workload",
                value=workload,
            )
        by_config = {config: _answer(config, row, view) for config, row in asked}
        if part != "generation":
            for config, row in asked:
                for variant, answer in _variants(config, row, by_config[config]):
                    by_config.setdefault(variant, answer)
        measured = tuple(config for config, _ in asked)
        return cls(workload, view, measured, by_config, prices(timed))

    def find(self, config: Config) -> Answer:
        """What a config answers.

        Raises:
            MeasurementError: it is not in the table.
        """
        if config not in self.by_config:
            raise MeasurementError(
                f"the table has no repeat {self.view.repeat} of {config.canonical} "
                f"for {self.workload}"
            )
        return self.by_config[config]


class Replay:
    """Measures by looking up; see the module.

    ``clock`` is the study's, and nobody else advances it.
    """

    def __init__(self, answers: Answers, clock: ReplayClock) -> None:
        self._answers = answers
        self._clock = clock
        self._built: set[Artifact] = set()

    @property
    def configs(self) -> list[Config]:
        """Every config that is answered."""
        return list(self._answers.by_config)

    def measure(
        self,
        config: Config,
        queries: Sequence[str],
        *,
        generate: bool = False,
        deadline: float | None = None,
        progress: Progress | None = None,
        race: Race | None = None,
    ) -> Measurement:
        """See :class:`autorag.ports.Measurer`. There are no per-query results: the ranking metrics
        are those of the view, whichever queries are asked, which are charged by their number."""
        answer = self._answers.find(config)
        metrics = {k: v for k, v in answer.metrics.items() if generate or not _generated(k)}
        if generate and not any(map(_generated, metrics)):
            raise MeasurementError(f"the table has no answers generated by {config.canonical}")
        started = self._clock.now
        build_s: dict[str, float] = {}
        for artifact, seconds in self._spend(answer, len(queries), deadline):
            build_s[artifact.stage] = build_s.get(artifact.stage, 0.0) + seconds
        reused = [s for s in dict.fromkeys(a.stage for a in answer.builds) if s not in build_s]
        metrics["build_s"] = sum(build_s.values())
        conditions = {**answer.conditions, "seconds": self._clock.now - started}
        return Measurement(metrics, answer.stages, reused, build_s, (), conditions)

    def _spend(
        self, answer: Answer, queries: int, deadline: float | None
    ) -> list[tuple[Artifact, float]]:
        """Let the time of a measurement pass; returns what was built, with its seconds.

        Raises:
            MeasurementCancelled: at the deadline; what was finished before it stays built.
        """
        missing = [a for a in answer.builds if a not in self._built]
        paid = charged(missing)
        spent = [(a, self._answers.prices[a] if a in paid else 0.0) for a in missing]
        self._pass(answer.start_s, deadline)
        for artifact, seconds in spent:
            self._pass(seconds, deadline)
            self._built.add(artifact)
        self._pass(answer.query_s * queries, deadline)
        return spent

    def _pass(self, seconds: float, deadline: float | None) -> None:
        ends = self._clock.now + seconds
        if deadline is not None and ends > deadline:
            self._clock.now = max(self._clock.now, deadline)
            raise MeasurementCancelled("the deadline passed")
        self._clock.now = ends


def _answer(config: Config, row: Row, view: View) -> Answer:
    metrics = {name: row[view.column(name)] for name in RANKING_METRICS}
    metrics |= {name: row[name] for name in _SAME_ON_EVERY_VIEW}
    metrics["context_tokens"] = row.get(f"context_tokens_{config.get(CONTEXTS_KNOB)}")
    stages = {
        stage: {f"p{q}_ms": row[f"{stage}_p{q}_ms"] for q in (50, 95)} for stage in TIMED_STAGES
    }
    return Answer(
        {name: value for name, value in metrics.items() if value is not None},
        {stage: times for stage, times in stages.items() if None not in times.values()},
        artifacts(config),
        row["start_s"],
        row["query_s"] / row["timed_queries"],
        {name: row[name] for name in ("repeat", "chunks", "cpu_pressure", "busy")},
    )


def _variants(config: Config, row: Row, answer: Answer) -> Iterator[tuple[Config, Answer]]:
    """The config and its answer with every number of contexts whose tokens the row has."""
    for contexts in CONTEXTS if CONTEXTS_KNOB in config else ():
        tokens = row[f"context_tokens_{contexts}"]
        if contexts <= float(config["retrieve.k"]) and tokens is not None:
            values = {k: contexts if k == CONTEXTS_KNOB else v for k, v in config.items()}
            metrics = {**answer.metrics, "context_tokens": tokens}
            yield Config(tuple(values.items())), replace(answer, metrics=metrics)


def _generated(metric: str) -> bool:
    return METRICS[metric].needs_generation


def _config(canonical: str) -> Config:
    return Config(tuple(json.loads(canonical).items()))
