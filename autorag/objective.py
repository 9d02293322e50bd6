"""Objectives: one metric to optimise subject to service-level objectives (SLOs).

    max ndcg_at_10 subject to latency_p95_ms <= 20, context_tokens <= 2000

or two metrics whose best trade-offs (the Pareto front) are wanted, each in its own direction:

    pareto ndcg_at_10, latency_p95_ms subject to memory_mb <= 200

Inside, objectives are minimised and a constraint is feasible at ``<= 0``; this is the only module
that knows that sign.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from autorag.errors import ObjectiveError
from autorag.metrics import metric

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_OBJECTIVE = re.compile(
    r"(?:(max|min)\s+(\w+)|pareto\s+(\w+)\s*,\s*(\w+))(?:\s+subject\s+to\s+(.+))?", re.I | re.S
)
_SLO = re.compile(rf"(\w+)\s*(<=|>=|≤|≥|<|>)\s*({_NUMBER})", re.I)

Direction = Literal["max", "min"]

FORM = (
    'expected "max|min METRIC [subject to METRIC <=|>= NUMBER, ...]" '
    'or "pareto METRIC, METRIC [subject to ...]"'
)


@dataclass(frozen=True, slots=True)
class Slo:
    """A bound on one metric, inclusive."""

    metric: str
    at_most: bool
    bound: float

    def violation(self, measured: Mapping[str, float]) -> float:
        """How far the bound is missed, in units of the metric; ``<= 0`` is feasible.

        A metric that was not measured counts as missed by infinity.
        """
        value = measured.get(self.metric, math.nan)
        if math.isnan(value):
            return math.inf
        return value - self.bound if self.at_most else self.bound - value

    def __str__(self) -> str:
        return f"{self.metric} {'<=' if self.at_most else '>='} {_short(self.bound)}"


@dataclass(frozen=True, slots=True)
class Objective:
    """What to optimise, and what must hold.

    Attributes:
        beside: another metric to optimise, in its own direction, where a front is wanted.
    """

    metric: str
    direction: Direction
    slos: tuple[Slo, ...] = ()
    beside: str | None = None

    @property
    def each(self) -> tuple[Objective, ...]:
        """What is wanted, one metric each and without bounds."""
        first = Objective(self.metric, self.direction)
        if self.beside is None:
            return (first,)
        return first, Objective(self.beside, natural_direction(self.beside))

    def cost(self, measured: Mapping[str, float]) -> float:
        """The value to minimise; infinity when it was not measured."""
        value = measured.get(self.metric, math.nan)
        if math.isnan(value):
            return math.inf
        return -value if self.direction == "max" else value

    def violations(self, measured: Mapping[str, float]) -> list[Slo]:
        """The SLOs that do not hold."""
        return [s for s in self.slos if s.violation(measured) > 0]

    def feasible(self, measured: Mapping[str, float]) -> bool:
        """Whether every SLO holds."""
        return not self.violations(measured)

    def rank(self, measured: Mapping[str, float]) -> tuple[float, float]:
        """Sort key, smaller is better: feasible before infeasible, those by relative violation."""
        missed = sum(
            s.violation(measured) / max(abs(s.bound), 1e-9) for s in self.violations(measured)
        )
        return (missed, self.cost(measured))

    def explain(self, measured: Mapping[str, float]) -> list[str]:
        """One sentence per violated SLO."""
        return [
            f"{s} is violated: measured {measured[s.metric]:.4g}"
            if s.metric in measured
            else f"{s} cannot be checked: {s.metric} was not measured"
            for s in self.violations(measured)
        ]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric named."""
        wanted = [one.metric for one in self.each]
        return tuple(dict.fromkeys([*wanted, *(s.metric for s in self.slos)]))

    @property
    def needs_generation(self) -> bool:
        """Whether answers must be generated to evaluate it."""
        return any(metric(m).needs_generation for m in self.metrics)

    def __str__(self) -> str:
        tail = f" subject to {', '.join(str(s) for s in self.slos)}" if self.slos else ""
        if self.beside is not None:
            return f"pareto {self.metric}, {self.beside}{tail}"
        return f"{self.direction} {self.metric}{tail}"


DEFAULT_OBJECTIVE = Objective(
    "ndcg_at_10", "max", (Slo("latency_p95_ms", True, 100.0), Slo("context_tokens", True, 2000.0))
)

EVALUATOR_OBJECTIVE = Objective("ndcg_at_10", "max", (Slo("latency_p95_ms", True, 100.0),))
"""The default for other people's pipelines, which need not count context tokens."""


def _short(x: float) -> str:
    return f"{x:g}" if float(f"{x:g}") == x else repr(x)


def parse_objective(text: str) -> Objective:
    """Parse an objective expression.

    Raises:
        ObjectiveError: not of the form, unknown metric, or a metric bounded twice the same way.
    """
    match = _OBJECTIVE.fullmatch(text.strip())
    if match is None:
        raise ObjectiveError(
            f"cannot parse objective {text!r}: {FORM}", key="objective", value=text
        )
    slos = tuple(_parse_slo(part) for part in re.split(r",|\band\b", match[5])) if match[5] else ()
    bounds = [(s.metric, s.at_most) for s in slos]
    if len(set(bounds)) != len(bounds):
        raise ObjectiveError(
            f"objective {text!r} bounds a metric twice", key="objective", value=text
        )
    if match[1] is not None:
        direction: Direction = "max" if match[1].lower() == "max" else "min"
        return Objective(metric(match[2]).name, direction, slos)
    first, second = metric(match[3]).name, metric(match[4]).name
    if first == second:
        raise ObjectiveError(
            f"objective {text!r}: a front needs two metrics", key="objective", value=text
        )
    return Objective(first, natural_direction(first), slos, second)


def parse_goal(text: str) -> Objective:
    """Parse an objective that says of any two configs which one is better.

    Raises:
        ObjectiveError: as :func:`parse_objective`; or a front is wanted.
    """
    objective = parse_objective(text)
    if objective.beside is not None:
        raise ObjectiveError(
            f"objective {text!r}: a front has no best config; autorag tune searches for fronts, "
            "here one metric is expected",
            key="objective",
            value=text,
        )
    return objective


def natural_direction(name: str) -> Direction:
    """The direction in which a metric is better."""
    return "max" if metric(name).higher_is_better else "min"


def _parse_slo(text: str) -> Slo:
    match = _SLO.fullmatch(text.strip())
    if match is None:
        raise ObjectiveError(
            f"cannot parse constraint {text.strip()!r}: {FORM}", key="objective", value=text
        )
    bound = float(match[3])
    if not math.isfinite(bound):
        raise ObjectiveError(
            f"constraint {text.strip()!r}: the bound is not finite", key="objective", value=text
        )
    return Slo(metric(match[1]).name, match[2] in ("<=", "≤", "<"), bound)
