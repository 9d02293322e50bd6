"""What a set of models is worth, and whether another one is worse.

Every error is one on a corpus that was not learned from: the median over its configs, and the mean
over corpora where one number is wanted. Quality has two: how far nDCG@10 is off, and how far the
*order* of configs is (1 − Spearman's correlation), which is what a choice hangs on.

Another set is *worse* where its mean error over the corpora that tell of both rises by more than
``MARGIN``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.analytic.columns import Floats
from models.calibration import ADDED, Residuals, folds
from models.examples import QUALITY, Example
from models.recall import ANN_RECALL
from models.training import PREDICTED, HeldOut, ModelSet, residuals, told

ORDER = "order"
"""1 − Spearman's correlation of predicted and measured nDCG@10."""

FEWEST_RANKED = 10
"""Configs whose order tells something."""

MARGIN = 0.05
"""How much larger than before, as a share, an error may be."""

SLACK = 0.002
"""How much larger it may be in any case: what cannot be told from nothing."""

Errors = Mapping[str, Mapping[str, float]]
"""What is predicted → corpus → error."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Errors on left-out corpora.

    Attributes:
        coverage: metric → share of a corpus's values inside the intervals that the residuals of the
            others give, mean over corpora; without those that too few corpora tell of.
    """

    errors: Errors
    coverage: Mapping[str, float]

    @classmethod
    def of(cls, held: Sequence[HeldOut], recall: Mapping[str, Floats] | None = None) -> Accuracy:
        """The accuracy that predictions of left-out workloads show.

        Args:
            recall: corpus → measured − predicted recall of approximate searches, of which the error
                is the mean.
        """
        found: dict[str, dict[str, list[Floats]]] = {}
        ranks: dict[str, list[tuple[float, int]]] = {}
        for one in held:
            for what, off in _errors(one).items():
                found.setdefault(what, {}).setdefault(one.corpus, []).append(off)
            if (order := _order(one)) is not None:
                ranks.setdefault(one.corpus, []).append((order, len(one.measured[QUALITY])))
        errors = {
            what: {corpus: float(np.median(np.concatenate(off))) for corpus, off in by.items()}
            for what, by in found.items()
        }
        if ranks:
            errors[ORDER] = {corpus: _mean(orders) for corpus, orders in ranks.items()}
        if recall:
            errors[ANN_RECALL] = {c: float(np.abs(v).mean()) for c, v in recall.items()}
        return cls(errors, _coverage(residuals(held)) if held else {})

    def mean(self, what: str) -> float:
        """The error, mean over corpora."""
        return float(np.mean([*self.errors[what].values()]))

    def of_corpora(self, wanted: Collection[str]) -> Accuracy:
        """The errors on these corpora."""
        errors = {w: {c: e for c, e in by.items() if c in wanted} for w, by in self.errors.items()}
        return Accuracy({w: by for w, by in errors.items() if by}, self.coverage)

    def joined(self, other: Accuracy) -> Accuracy:
        """With errors on further corpora."""
        errors = {w: {**other.errors.get(w, {}), **self.errors.get(w, {})} for w in other.errors}
        return Accuracy({**self.errors, **errors}, self.coverage)

    def to_json(self) -> dict[str, Any]:
        """JSON, errors rounded to five digits."""
        errors = {
            what: {corpus: float(f"{error:.5g}") for corpus, error in by_corpus.items()}
            for what, by_corpus in self.errors.items()
        }
        return {"errors": errors, "coverage": {m: round(c, 4) for m, c in self.coverage.items()}}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Accuracy:
        """What :meth:`to_json` gave."""
        return cls(row["errors"], row["coverage"])


@dataclass(frozen=True, slots=True)
class Change:
    """The mean error of two sets on the corpora that both tell of."""

    what: str
    old: float
    new: float
    corpora: int

    @property
    def worse(self) -> bool:
        return self.new > self.old * (1.0 + MARGIN) + SLACK

    def __str__(self) -> str:
        return f"{self.what}: {self.old:.4g} → {self.new:.4g} on {self.corpora} corpora"


def changes(old: Accuracy, new: Accuracy) -> list[Change]:
    """What became of every error that both tell of."""
    found = []
    for what, before in old.errors.items():
        after = new.errors.get(what, {})
        if both := [c for c in before if c in after]:
            one, other = (float(np.mean([e[c] for c in both])) for e in (before, after))
            found.append(Change(what, one, other, len(both)))
    return found


def accuracy_on(models: ModelSet, examples: Iterable[Example]) -> Accuracy:
    """How well models predict these workloads, which they are not to have seen."""
    return Accuracy.of(
        [told(e, timed, models.quality, models.ratios) for e in examples for timed in e.timed]
    )


def _errors(one: HeldOut) -> dict[str, Floats]:
    """Of every config: of quality absolute, of the others relative."""
    found = {}
    for metric in PREDICTED:
        predicted, measured = one.predicted[metric], one.measured[metric]
        known = np.isfinite(predicted) & np.isfinite(measured)
        if known.any():
            off = np.abs(predicted[known] - measured[known])
            found[metric] = off if metric in ADDED else off / measured[known]
    return found


def _mean(weighed: Sequence[tuple[float, int]]) -> float:
    """The mean of values with their weights."""
    return sum(v * w for v, w in weighed) / sum(w for _, w in weighed)


def _order(one: HeldOut) -> float | None:
    """How far the order of configs is off; None of too few to be ordered."""
    from scipy.stats import spearmanr

    known = np.isfinite(one.measured[QUALITY])
    if known.sum() < FEWEST_RANKED or np.ptp(one.measured[QUALITY][known]) == 0:
        return None
    rank = spearmanr(one.predicted[QUALITY][known], one.measured[QUALITY][known]).statistic
    return 1.0 - float(np.nan_to_num(rank))


def _coverage(known: Residuals) -> dict[str, float]:
    """Mean coverage of every corpus by the others."""
    found: dict[str, list[float]] = {}
    for group in folds(np.unique(known.corpora).tolist()):
        out = np.isin(known.corpora, list(group))
        others = Residuals(known.metrics, known.values[~out], known.corpora[~out])
        for corpus in group:
            for metric, column in zip(known.metrics, known.values.T, strict=True):
                low, high = others.interval(metric)
                values = column[(known.corpora == corpus) & np.isfinite(column)]
                if values.size and np.isfinite([low, high]).all():
                    inside = float(np.mean((values >= low) & (values <= high)))
                    found.setdefault(metric, []).append(inside)
    return {metric: float(np.mean(values)) for metric, values in found.items()}
