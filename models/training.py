"""Training: from measured workloads to a set of models and its residuals on left-out corpora.

The models that are kept have seen every workload. What they are worth is told by others, made the
same way without one corpus at a time: the residuals there are the intervals and chances of the kept
models (``models.calibration``).

Every corpus weighs the same, however many configs, repeats or variants of it were measured, so that
one chatty app does not own a model.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autorag.errors import InputError
from autorag.ports import Progress
from models.analytic.columns import Floats
from models.bounds import bounded, bounded_searches, calibrating
from models.calibration import ADDED, Residuals, folds
from models.encoding import Matrix, choices_in, encode_configs
from models.examples import MEMORY, QUALITY, Example, Timed
from models.landscapes import LANDMARKS, Landscape
from models.quality import QualityModel
from models.ratios import CONTEXT_TOKENS, TIMES, TOTALS, RatioModel, Ratios, analytic, time_rows
from models.recall import ANN_RECALL, RecallModel, Searched, left_out

LEARNED = (*TOTALS, CONTEXT_TOKENS)
"""Targets that trees learn, with residuals."""

HEADS = (*LEARNED, *(time for time in TIMES if time not in TOTALS))
"""All targets that trees learn: stages explain the total."""

PREDICTED = (QUALITY, *LEARNED, MEMORY)
"""Metrics that are predicted, with joint residuals."""

TOLD = (*PREDICTED, ANN_RECALL)
"""Metrics that are predicted."""

FEWEST_CONFIGS = 24
"""Measured on a workload before its quality tells of others: leaves hold eight of them."""


@dataclass(frozen=True)
class ModelSet:
    """Everything that was learned.

    Attributes:
        recall: None where no searches in approximate indexes of two corpora were seen.
        choices: values of choices that were seen (``encoding.choices_in``).
    """

    quality: QualityModel
    ratios: RatioModel
    residuals: Residuals
    recall: RecallModel | None
    choices: frozenset[str]


@dataclass(frozen=True)
class Trained:
    """A set of models, and what others that were made the same way say of left-out corpora.

    Attributes:
        recall: corpus → measured − predicted recall of approximate searches.
    """

    models: ModelSet
    held: tuple[HeldOut, ...]
    recall: Mapping[str, Floats]


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


def train(
    examples: Sequence[Example],
    searched: Sequence[Searched] = (),
    *,
    seed: int,
    progress: Progress = lambda *_: None,
) -> Trained:
    """Train on all, calibrate on left-out corpora.

    Args:
        searched: searches in approximate indexes.
        progress: told of corpora that are left out; what it raises ends the training.

    Raises:
        InputError: fewer than two corpora were timed, or have ``FEWEST_CONFIGS``.
    """
    examples, searched = bounded(examples), bounded_searches(searched)
    corpora = list(dict.fromkeys(e.corpus for e in examples if e.timed))
    landscapes = _check(examples, fit_landscapes(examples, seed))
    held: list[HeldOut] = []
    fewer, groups = calibrating(examples), folds(corpora)
    for done, group in enumerate(groups):
        progress("leaving out corpora", done, len(groups))
        held += held_out(fewer, landscapes, group, seed)
    progress("leaving out corpora", len(groups), len(groups))
    recall = left_out(searched, seed=seed)
    models = ModelSet(
        QualityModel(tuple(landscapes)),
        fit_ratios(examples, HEADS, seed),
        residuals(held),
        RecallModel.fit(searched, recall, seed=seed),
        choices_in(np.vstack([t.knobs for e in examples for t in e.timed])),
    )
    return Trained(models, tuple(held), recall)


def predicted_by(examples: Sequence[Example], asked: Iterable[Example], seed: int) -> list[HeldOut]:
    """What models that are trained on some examples say of others.

    Raises:
        InputError: see :func:`train`.
    """
    examples = bounded(examples)
    quality = QualityModel(tuple(_check(examples, fit_landscapes(examples, seed))))
    ratios = fit_ratios(examples, LEARNED, seed)
    return [told(e, timed, quality, ratios) for e in asked for timed in e.timed]


def fit_landscapes(examples: Sequence[Example], seed: int) -> list[Landscape]:
    """One an example that has configs enough."""
    return [
        Landscape.fit(e.workload, e.corpus, e.described, e.knobs, e.quality, seed=seed)
        for e in examples
        if len(e.configs) >= FEWEST_CONFIGS
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
    ratios = Ratios(
        np.vstack([time_rows(t.knobs, e.described, t.physics) for e, t in timed]),
        {target: np.concatenate([_log_ratio(t, target) for _, t in timed]) for target in targets},
        [e.corpus for e, t in timed for _ in t.configs],
        [t.machine for _, t in timed for _ in t.configs],
    )
    return RatioModel.fit(ratios, seed=seed)


def held_out(
    examples: Sequence[Example], landscapes: Sequence[Landscape], out: Collection[str], seed: int
) -> Iterator[HeldOut]:
    """What models that have not seen these corpora say of their timed workloads."""
    known = [e for e in examples if e.corpus not in out]
    quality = QualityModel(tuple(x for x in landscapes if x.corpus not in out))
    ratios = fit_ratios(known, LEARNED, seed)
    for example in (e for e in examples if e.corpus in out):
        yield from (told(example, timed, quality, ratios) for timed in example.timed)


def told(example: Example, timed: Timed, quality: QualityModel, ratios: RatioModel) -> HeldOut:
    """What models say of a workload in one timed repeat, and what was measured."""
    rows = time_rows(timed.knobs, example.described, timed.physics)
    host = ratios.hosts.get(timed.machine)
    predicted = {t: ratios.predict(timed.knobs, rows, timed.physics, t, host) for t in LEARNED}
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


def _check(examples: Sequence[Example], landscapes: list[Landscape]) -> list[Landscape]:
    """The landscapes, where there is enough to train on."""
    timed = {e.corpus for e in examples if e.timed}
    if len(timed) < 2 or len({x.corpus for x in landscapes}) < 2:
        raise InputError(
            "models need the times of two corpora or more, and the quality of "
            f"{FEWEST_CONFIGS} configs of each",
            key="table",
        )
    return landscapes


def _log_ratio(timed: Timed, target: str) -> Floats:
    known = analytic(timed.knobs, timed.physics, target)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: Floats = np.log(timed.measured[target] / known)
    return np.where(np.isfinite(ratio), ratio, np.nan)
