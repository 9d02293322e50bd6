"""What the optimizer starts from: predictions as beliefs, with the ways in which workloads differ.

A belief about a metric has the prediction as its mean. How a workload may differ from it is told by
*factors*, each a direction over configs in its usual size:

* of quality, the level (all configs alike), how far apart the best and the worst are, and for every
  known workload its landscape less the mean of all: what is better there than elsewhere may be
  better here too;
* of times, the level, and the share of every stage in the total: a machine or a corpus that makes
  a stage slower than predicted moves configs by how much of their time is spent there;
* of memory and tokens, the level;
* of all, whether a config has a part (embedder, reranker, ...) that was never measured.

How large they are, and what they leave, comes from residuals on left-out corpora
(``models.calibration``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autorag.errors import InputError
from autorag.optimizer.scales import LEAST
from autorag.ports import Belief
from autorag.space import Config, Space
from models.analytic.columns import Floats
from models.candidates import Candidates
from models.examples import MEMORY, QUALITY
from models.predictor import Predicted, Predictor, Task
from models.ranking import RANKED
from models.recall import ANN_RECALL
from models.training import LEARNED, ModelSet

TRUST = 0.9
"""Chance that a belief tells more than none would, before anything is measured: a constant, not
learned; from the fifth measurement on evidence counts."""

UNKNOWN_SPREAD = 0.05
"""Standard deviations where no residual tells of a metric."""

UNLABELLED = 1.0
"""Quality on pseudo-queries is off by this much of what configs differ by."""

OTHER_LEVEL = 0.2
"""Standard deviation of the level of another ranking metric from that of nDCG@10, which stands for
how configs compare."""

GAIN = 0.3
"""Standard deviation of how much farther or less far apart configs are, as a share."""

STRANGE_QUALITY, STRANGE_LOG = 0.1, 0.7
"""Standard deviation of what an unknown part adds."""

LEAST_LEVEL, LEAST_RESIDUAL = 0.01, 0.01


class LearnedPrior:
    """Beliefs about the configs of a space on a task; see :class:`autorag.ports.Prior`.

    Args:
        reference: the space of the reference pipeline, where configs have a part of its knobs and
            the others are at their defaults; None where they have all.
    """

    def __init__(self, models: ModelSet, task: Task, reference: Space | None = None) -> None:
        self._models = models
        self._task = task
        self._reference = reference
        self._last: tuple[tuple[Config, ...], Predicted] | None = None

    def believe(self, metric: str, configs: Sequence[Config]) -> Belief | None:
        """See :class:`autorag.ports.Prior`. Of what :meth:`missing` names nothing is known."""
        if metric not in (*RANKED, *LEARNED, MEMORY, ANN_RECALL):
            return None
        try:
            predicted = self._predicted(tuple(configs))
            if metric in RANKED:
                return _quality(predicted, 0.0 if metric == QUALITY else OTHER_LEVEL)
            return _other(predicted, metric)
        except InputError:
            return None

    def missing(self, metrics: Sequence[str], config: Config) -> str | None:
        """Why physics can say nothing of one of these metrics: what the profile or the features
        lack; None where they lack nothing."""
        try:
            for metric in metrics:
                if metric in (*RANKED, *LEARNED, MEMORY):
                    self._predicted((config,)).metric(_stand_in(metric), np.arange(1))
        except InputError as error:
            return str(error)
        return None

    def _predicted(self, configs: tuple[Config, ...]) -> Predicted:
        if self._last is None or self._last[0] != configs:
            predictor = Predictor(self._models, Candidates(configs, self._run(configs)))
            self._last = configs, predictor.on(self._task)
        return self._last[1]

    def _run(self, configs: tuple[Config, ...]) -> tuple[Config, ...]:
        """As the reference pipeline runs them."""
        if self._reference is None:
            return configs
        return tuple(self._reference.config({}, base=config) for config in configs)


def _stand_in(metric: str) -> str:
    """The metric that stands for another."""
    return QUALITY if metric in RANKED else metric


def _quality(predicted: Predicted, other_level: float) -> Belief:
    laid = predicted.laid
    names = [one.workload for one in laid.model.landscapes]
    near = np.array([predicted.quality.alike[name] for name in names])
    spread = float(near @ [one.best - one.worst for one in laid.model.landscapes])
    level, rest = _spreads(predicted.models, QUALITY)
    effect = predicted.quality.effect
    apart = (laid.effects - effect).T * np.sqrt(near) * spread
    gain = GAIN * spread * (effect - 0.5)
    strange = STRANGE_QUALITY * _strange(predicted)
    level = float(np.hypot(level, other_level))
    factors = np.column_stack([np.full(len(effect), level), gain, apart, strange])
    return Belief(predicted.quality.value, factors, rest / 2, UNLABELLED * rest, TRUST)


def _other(predicted: Predicted, metric: str) -> Belief | None:
    rows = np.arange(len(predicted.pool.configs))
    value = predicted.metric(metric, rows)
    known = np.isfinite(value)
    if not known.any():
        return None
    strange = np.maximum(_strange(predicted), ~known)
    if metric == ANN_RECALL:
        mean, size = np.where(known, value, float(value[known].mean())), STRANGE_QUALITY
    else:
        logs = np.log(np.maximum(np.where(known, value, np.nan), LEAST))
        mean, size = np.where(known, logs, float(np.nanmean(logs))), STRANGE_LOG
    level, rest = _spreads(predicted.models, metric)
    columns = [np.full(len(rows), level), size * strange]
    if metric in LEARNED and metric.startswith("latency"):
        stages = np.column_stack([*predicted.physics(rows).stage_ms.values()])
        shares = np.nan_to_num(stages)
        columns += list((rest * shares / np.maximum(shares.sum(1, keepdims=True), LEAST)).T)
    return Belief(mean, np.column_stack(columns), rest / 2, 0.0, TRUST)


def _strange(predicted: Predicted) -> Floats:
    """1 for configs with a part that was never measured, ``(n,)``."""
    return 1.0 - predicted.pool.known(predicted.models.choices).astype(np.float64)


def _spreads(models: ModelSet, metric: str) -> tuple[float, float]:
    """Standard deviations of residuals: of their level between corpora, and within one."""
    known = models.recall.residuals if metric == ANN_RECALL and models.recall else models.residuals
    if metric not in known.metrics:
        return UNKNOWN_SPREAD, UNKNOWN_SPREAD
    column = known.values[:, known.metrics.index(metric)]
    levels, within = [], []
    for corpus in np.unique(known.corpora):
        own = column[(known.corpora == corpus) & np.isfinite(column)]
        if own.size > 1:
            levels.append(float(own.mean()))
            within.append(float(own.var()))
    if not levels:
        return UNKNOWN_SPREAD, UNKNOWN_SPREAD
    level, rest = np.sqrt(np.mean(np.square(levels))), np.sqrt(np.mean(within))
    return max(float(level), LEAST_LEVEL), max(float(rest), LEAST_RESIDUAL)
