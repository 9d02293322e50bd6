"""What measurements say of one metric at configs that were not measured: a Gaussian process whose
mean and covariance come from models of other workloads.

Two kinds of explanation compete. An *informed* one has the learned mean ``m(x)`` and the covariance

    F(x) F(x')ᵀ + a² k(x, x')

of a belief (:class:`autorag.ports.Belief`): factors ``F`` are the ways in which workloads differ
(Bayesian linear regression on what is known of others, as in HyperBO: Wang et al. 2024, and
ensembles of surrogates: Wistuba et al. 2016), and the kernel takes what they do not explain. A
*plain* one has a constant mean and the kernel alone; it knows nothing of other workloads. In both,
``k`` is the Matérn 5/2 kernel over encoded configs and a part of each config's own, and its
amplitude, length and the noise of a measurement run over a small grid. Each explanation weighs as
much as it makes the measurements likely (Bayesian model averaging), so that a belief that misleads
is dropped by evidence.

Values are on the metric's scale (``autorag.optimizer.scales``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from autorag.optimizer.scales import Floats, Scale
from autorag.ports import Belief

LENGTHS = (0.7, 1.5, 3.0)
"""Lengths of the kernel in distances of encoded configs: another choice is 1 away, the far end of a
number 1 too."""

FACTOR_SCALES = (0.6, 1.2)
RESIDUAL_SCALES = (0.5, 1.0, 2.0)
"""How much more or less than a belief says workloads may differ."""

OWN = 0.25
"""Share of the variance that configs which are alike do not share."""

LIKELY_NOISE = 0.8
"""Weight of the usual noise; the others share the rest."""

EVIDENCE_FROM = 5
"""Measurements from which on they weigh against a belief as a whole: fewer can be explained by
anything."""

KEPT = 8
LEAST_WEIGHT = 0.02
"""Explanations that are kept: the best ones of each kind, if the kind weighs something. Of equals
(before there are measurements) some of every sort."""

JITTER = 1e-6


@dataclass(frozen=True)
class Observations:
    """What was measured of one metric.

    Attributes:
        rows: which points, each once, ``(n,)``.
        values: means over repeats on the metric's scale, ``(n,)``.
        repeats: how many, ``(n,)``.
        indirect: standard deviation of what was measured from what is meant, where a stand-in was
            measured (pseudo-queries); shared by configs that are alike.
    """

    rows: np.ndarray
    values: Floats
    repeats: Floats
    indirect: float = 0.0


def squared_distances(a: Floats, b: Floats) -> Floats:
    """Between encoded configs ``(n, d)`` and ``(m, d)``, ``(n, m)``."""
    squares: Floats = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2.0 * a @ b.T
    return np.maximum(squares, 0.0)


def kernel(squares: Floats, same: np.ndarray, length: float) -> Floats:
    """The correlation of configs at squared distances: Matérn 5/2, but for the share that is each
    config's own. ``same`` says which are one and the same; all of one shape."""
    scaled = np.sqrt(5.0 * squares) / length
    matern = (1.0 + scaled + scaled**2 / 3.0) * np.exp(-scaled)
    correlation: Floats = (1.0 - OWN) * matern + OWN * same
    return correlation


@dataclass(frozen=True, slots=True)
class Explanation:
    """One Gaussian process.

    Attributes:
        informed: whether its mean and factors are those of a belief.
        factors: what these are multiplied by.
        amplitude, length: of the kernel.
        noise: standard deviation of one measurement.
    """

    informed: bool
    factors: float
    amplitude: float
    length: float
    noise: float


@dataclass(frozen=True)
class Fitted:
    """An explanation given the observations.

    Attributes:
        mean: of every point before any measurement, ``(p,)``.
        factors: ``(p, r)``.
        root: of the covariance of observations, lower triangular ``(n, n)``.
        likelihood: log marginal likelihood of the observations.
    """

    told: Explanation
    points: Floats
    mean: Floats
    factors: Floats
    seen: Observations
    root: Floats
    likelihood: float

    def covariance(self, rows: np.ndarray, others: np.ndarray) -> Floats:
        """Of the metric at points, before any measurement, ``(len(rows), len(others))``."""
        squares = squared_distances(self.points[rows], self.points[others])
        same = rows[:, None] == others[None]
        shared: Floats = self.factors[rows] @ self.factors[others].T
        return shared + self.told.amplitude**2 * kernel(squares, same, self.told.length)

    def variance(self, rows: np.ndarray) -> Floats:
        """The diagonal of :meth:`covariance`, ``(k,)``."""
        variance: Floats = (self.factors[rows] ** 2).sum(1) + self.told.amplitude**2
        return variance

    def at(self, rows: np.ndarray) -> tuple[Floats, Floats]:
        """Mean and standard deviation ``(k,)`` at points, given the observations."""
        from scipy.linalg import solve_triangular

        across = self.covariance(rows, self.seen.rows)
        half = solve_triangular(self.root, across.T, lower=True)
        rest = solve_triangular(self.root, self.seen.values - self.mean[self.seen.rows], lower=True)
        variance = self.variance(rows) - (half**2).sum(0)
        return self.mean[rows] + half.T @ rest, np.sqrt(np.maximum(variance, JITTER**2))

    def paths(self, rows: np.ndarray, normal: Floats) -> tuple[Floats, Floats, Floats]:
        """Joint draws of the metric at the observed points, and the metric elsewhere given each.

        Args:
            rows: points elsewhere, ``(k,)``.
            normal: standard normal numbers, ``(n, s)``.

        Returns:
            Draws ``(n, s)``, means ``(k, s)`` and standard deviations ``(k,)``.
        """
        from scipy.linalg import cho_solve, cholesky, solve_triangular

        seen = self.seen.rows
        if not len(seen):
            means = np.repeat(self.mean[rows][:, None], normal.shape[1], axis=1)
            return normal, means, np.sqrt(self.variance(rows))
        prior = self.covariance(seen, seen)
        half = solve_triangular(self.root, prior, lower=True)
        rest = solve_triangular(self.root, self.seen.values - self.mean[seen], lower=True)
        identity = np.eye(len(seen))
        jitter = JITTER * (1.0 + float(np.trace(prior)) / max(len(seen), 1))
        posterior = cholesky(prior - half.T @ half + jitter * identity, lower=True)
        offset = (half.T @ rest)[:, None] + posterior @ normal
        known = cholesky(prior + jitter * identity, lower=True)
        across = self.covariance(rows, seen)
        means = self.mean[rows][:, None] + across @ cho_solve((known, True), offset)
        half = solve_triangular(known, across.T, lower=True)
        variance = self.variance(rows) - (half**2).sum(0)
        deviation = np.sqrt(np.maximum(variance, JITTER**2))
        return self.mean[seen][:, None] + offset, means, deviation


@dataclass(frozen=True)
class Posterior:
    """The explanations that are kept, with their weights, which add up to 1."""

    fitted: tuple[Fitted, ...]
    weights: Floats

    def at(self, rows: np.ndarray) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the mixture at points, ``(k,)``."""
        parts = [one.at(rows) for one in self.fitted]
        means, deviations = (np.stack([p[i] for p in parts]) for i in (0, 1))
        mean = self.weights @ means
        spread = self.weights @ (deviations**2 + means**2) - mean**2
        return mean, np.sqrt(np.maximum(spread, JITTER**2))

    def chance_at_most(self, bound: float, rows: np.ndarray) -> Floats:
        """The chance ``(k,)`` that the metric is at most ``bound`` (on its scale)."""
        from scipy.special import ndtr

        parts = [one.at(rows) for one in self.fitted]
        chance: Floats = self.weights @ np.stack([ndtr((bound - m) / s) for m, s in parts])
        return chance

    @cached_property
    def trust(self) -> float:
        """The weight of the informed explanations."""
        informed = [one.told.informed for one in self.fitted]
        return float(self.weights @ np.array(informed))


def posterior(points: Floats, belief: Belief | None, seen: Observations, scale: Scale) -> Posterior:
    """What is known of a metric at ``p`` points.

    Args:
        points: encoded configs, ``(p, d)``, without NaN.
        belief: about the same points; None when nothing is known.
    """
    base = _Base.of(points, seen)
    found = [base.fit(told, belief) for told in _explanations(belief, scale)]
    usual = np.array([one.told.noise == scale.noise[0] for one in found])
    score = np.array([one.likelihood for one in found])
    score += np.log(np.where(usual, LIKELY_NOISE, 1.0 - LIKELY_NOISE))
    informed = np.array([one.told.informed for one in found])
    if belief is not None:
        score = _weighed(score, informed, belief.trust, len(seen.rows))
    weights = np.exp(score - score.max())
    weights /= weights.sum()
    kept: list[int] = []
    shares: list[float] = []
    for kind in (np.flatnonzero(informed), np.flatnonzero(~informed)):
        total = float(weights[kind].sum())
        if total >= LEAST_WEIGHT:
            mixed = np.random.default_rng(0).permutation(kind)
            best = mixed[np.argsort(-np.round(weights[mixed], 12), kind="stable")[:KEPT]]
            kept += best.tolist()
            shares += (total * weights[best] / weights[best].sum()).tolist()
    return Posterior(tuple(found[i] for i in kept), np.array(shares) / sum(shares))


def _explanations(belief: Belief | None, scale: Scale) -> Iterator[Explanation]:
    if belief is not None:
        for f, r, length, noise in product(
            FACTOR_SCALES, RESIDUAL_SCALES, LENGTHS[:2], scale.noise
        ):
            yield Explanation(True, f, r * belief.residual, length, noise)
    for spread, length, noise in product(scale.spread, LENGTHS, scale.noise):
        yield Explanation(False, 0.0, spread, length, noise)


def _weighed(score: Floats, informed: np.ndarray, trust: float, count: int) -> Floats:
    """Log weights of explanations ``(e,)`` from what each says of the measurements, when those of
    a belief have ``trust`` together. Until there is evidence enough, what the measurements say of
    the belief as a whole is left out."""
    weighed = score.copy()
    for kind, share in ((informed, trust), (~informed, 1.0 - trust)):
        told = np.logaddexp.reduce(score[kind]) if count < EVIDENCE_FROM else math.log(kind.sum())
        weighed[kind] += math.log(max(share, 1e-12)) - told
    return weighed


@dataclass(frozen=True)
class _Base:
    """What all explanations share."""

    points: Floats
    seen: Observations
    squares: Floats

    @classmethod
    def of(cls, points: Floats, seen: Observations) -> _Base:
        measured = points[seen.rows]
        return cls(points, seen, squared_distances(measured, measured))

    def fit(self, told: Explanation, belief: Belief | None) -> Fitted:
        """One explanation of the observations."""
        from scipy.linalg import cholesky, solve_triangular

        seen, count = self.seen, len(self.seen.rows)
        mean, factors = self._before(told, belief)
        like = kernel(self.squares, np.eye(count, dtype=bool), told.length)
        own = factors[seen.rows]
        covariance = own @ own.T + (told.amplitude**2 + seen.indirect**2) * like
        covariance[np.diag_indices(count)] += told.noise**2 / seen.repeats + JITTER
        root = cholesky(covariance, lower=True)
        rest = solve_triangular(root, seen.values - mean[seen.rows], lower=True)
        likelihood = -0.5 * float(rest @ rest) - float(np.log(np.diag(root)).sum())
        likelihood -= 0.5 * count * math.log(2 * math.pi)
        return Fitted(told, self.points, mean, factors, seen, root, likelihood)

    def _before(self, told: Explanation, belief: Belief | None) -> tuple[Floats, Floats]:
        """Mean and factors of all points before any measurement."""
        if told.informed and belief is not None:
            return belief.mean, told.factors * belief.factors
        count = len(self.points)
        level = float(self.seen.values.mean()) if len(self.seen.rows) else 0.0
        return np.full(count, level), np.full((count, 1), told.amplitude)
