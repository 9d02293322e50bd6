"""Training: from measured workloads to a set of models and its residuals on left-out corpora.

The models that are kept have seen every workload. What they are worth is told by others, made the
same way without one corpus at a time: the residuals there are the intervals and chances of the kept
models (``models.calibration``).

Every corpus weighs the same, however many configs, repeats or variants of it were measured, so that
one chatty app does not own a model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autorag.errors import InputError
from models.analytic.columns import Floats
from models.calibration import ADDED, Residuals
from models.encoding import Matrix, choices_in, encode_configs
from models.examples import MEMORY, QUALITY, Example, Timed
from models.landscapes import LANDMARKS, Landscape
from models.quality import QualityModel
from models.ratios import CONTEXT_TOKENS, TOTALS, RatioModel, analytic, time_rows

LEARNED = (*TOTALS, CONTEXT_TOKENS)
"""Targets that trees learn."""

PREDICTED = (QUALITY, *LEARNED, MEMORY)
"""Metrics that are predicted, with residuals."""


@dataclass(frozen=True)
class ModelSet:
    """Everything that was learned.

    Attributes:
        machines: fingerprints of the machines whose times were learned from.
        choices: values of choices that were seen (``encoding.choices_in``).
    """

    quality: QualityModel
    ratios: RatioModel
    residuals: Residuals
    machines: frozenset[str]
    choices: frozenset[str]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Predictions of one workload by models that did not see its corpus, in one timed repeat.

    Attributes:
        predicted, measured: metric → values ``(n,)``, of ``PREDICTED``.
    """

    workload: str
    corpus: str
    predicted: Mapping[str, Floats]
    measured: Mapping[str, Floats]


def train(examples: Sequence[Example], *, seed: int) -> ModelSet:
    """Train on all, calibrate on left-out corpora.

    Raises:
        InputError: fewer than two corpora were timed.
    """
    if len({e.corpus for e in examples if e.timed}) < 2:
        raise InputError("models need the times of two corpora or more", key="table")
    landscapes = fit_landscapes(examples, seed)
    return ModelSet(
        QualityModel(tuple(landscapes)),
        fit_ratios(examples, LEARNED, seed),
        residuals(held_out(examples, landscapes, seed)),
        frozenset(t.machine for e in examples for t in e.timed),
        choices_in(np.vstack([t.knobs for e in examples for t in e.timed])),
    )


def fit_landscapes(examples: Sequence[Example], seed: int) -> list[Landscape]:
    """One an example."""
    return [
        Landscape.fit(e.workload, e.corpus, e.described, e.knobs, e.quality, seed=seed)
        for e in examples
    ]


def landmark_rows(rows: Matrix) -> list[int]:
    """The rows ``(n, knobs)`` that are nearest to ``LANDMARKS``."""
    found = []
    for mark in encode_configs(LANDMARKS):
        distance = np.nansum((rows - mark) ** 2, axis=1) + (np.isnan(rows) != np.isnan(mark)).sum(1)
        found.append(int(distance.argmin()))
    return found


def fit_ratios(examples: Sequence[Example], targets: Sequence[str], seed: int) -> RatioModel:
    """Ratios to physics, of every timed config."""
    timed = [(e, t) for e in examples for t in e.timed]
    rows = np.vstack([time_rows(t.knobs, e.described, t.physics) for e, t in timed])
    ratios = {
        target: np.concatenate([_log_ratio(t, target) for _, t in timed]) for target in targets
    }
    corpora = [e.corpus for e, t in timed for _ in t.configs]
    return RatioModel.fit(rows, ratios, corpora, seed=seed)


def held_out(
    examples: Sequence[Example], landscapes: Sequence[Landscape], seed: int
) -> Iterator[HeldOut]:
    """What models say of every timed workload that have not seen its corpus."""
    for corpus in dict.fromkeys(e.corpus for e in examples if e.timed):
        known = [e for e in examples if e.corpus != corpus]
        quality = QualityModel(tuple(x for x in landscapes if x.corpus != corpus))
        ratios = fit_ratios(known, LEARNED, seed)
        for example in (e for e in examples if e.corpus == corpus):
            yield from (told(example, timed, quality, ratios) for timed in example.timed)


def told(example: Example, timed: Timed, quality: QualityModel, ratios: RatioModel) -> HeldOut:
    """What models say of a workload in one timed repeat, and what was measured."""
    rows = time_rows(timed.knobs, example.described, timed.physics)
    predicted = {t: ratios.predict(timed.knobs, rows, timed.physics, t) for t in LEARNED}
    predicted[MEMORY] = timed.physics.memory_mb
    predicted[QUALITY] = quality.over(timed.knobs).predict(example.described).value
    measured = {m: timed.measured[m] for m in PREDICTED}
    return HeldOut(example.workload, example.corpus, predicted, measured)


def residuals(held: Iterable[HeldOut]) -> Residuals:
    """Joint residuals by corpus."""
    found: dict[str, list[Floats]] = {}
    for one in held:
        columns = [
            one.measured[m] - one.predicted[m]
            if m in ADDED
            else np.log(one.measured[m] / one.predicted[m])
            for m in PREDICTED
        ]
        found.setdefault(one.corpus, []).append(np.stack(columns, axis=1))
    return Residuals.of(PREDICTED, {c: np.vstack(v) for c, v in found.items()})


def _log_ratio(timed: Timed, target: str) -> Floats:
    known = analytic(timed.knobs, timed.physics, target)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: Floats = np.log(timed.measured[target] / known)
    return np.where(np.isfinite(ratio), ratio, np.nan)
