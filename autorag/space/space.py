"""The space: knobs, the conditions under which they are active, and rules between them.

Only valid configs can be made. Validity has three layers: every knob in its domain; exactly the
active knobs set (a knob is active when all its ``when`` conditions hold, conditions name knobs
that stand before it); every rule satisfied. Rules may look at the corpus (``CorpusFacts``), since
faiss cannot train an IVF or PQ index on too few points.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property
from typing import Any, Literal

import numpy as np

from autorag.errors import ConfigError
from autorag.space.config import Config
from autorag.space.domains import Choice, Domain, Value
from autorag.stages import STAGES

Apply = Literal["hot", "restart", "rebuild"]

SAMPLE_TRIES = 1000


@dataclass(frozen=True)
class CorpusFacts:
    """What validity knows about the corpus: ``token_counts`` of its distinct documents."""

    token_counts: tuple[int, ...]

    @cached_property
    def _fewest(self) -> dict[int, int]:
        return {}

    def fewest_chunks(self, largest: int) -> int:
        """A lower bound on the number of chunks of at most ``largest`` tokens."""
        if largest not in self._fewest:
            self._fewest[largest] = sum(-(-n // largest) for n in self.token_counts)
        return self._fewest[largest]


@dataclass(frozen=True, slots=True)
class When:
    """Active only when another knob has one of these values."""

    knob: str
    values: frozenset[Value]

    @classmethod
    def is_(cls, knob: str, *values: Value) -> When:
        return cls(knob, frozenset(values))

    def holds(self, values: Mapping[str, Value]) -> bool:
        return values.get(self.knob) in self.values

    def describe(self) -> str:
        return f"{self.knob} is {' or '.join(sorted(str(v) for v in self.values))}"


@dataclass(frozen=True, slots=True)
class Knob:
    """One setting.

    Args:
        name: dotted, ``stage.knob``.
        domain: what it may be.
        default: its value when nothing is said.
        stage: the first stage a change of it invalidates; None when no result depends on it.
        apply: how a change reaches a running app: at the next query, by restarting its stage, or
            by rebuilding from its stage on.
        algorithmic: whether it can change an answer (else it is a *system* knob).
        when: all conditions must hold for the knob to be active.
    """

    name: str
    domain: Domain
    default: Value
    stage: str | None
    apply: Apply = "hot"
    algorithmic: bool = True
    when: tuple[When, ...] = ()
    meaning: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "default", self.domain.check(self.default))

    def active(self, values: Mapping[str, Value]) -> bool:
        return all(condition.holds(values) for condition in self.when)

    @property
    def applied(self) -> str:
        """``hot``, ``restart:<stage>`` or ``rebuild:<stage>``: of the stage in its name, else of
        the first that it invalidates."""
        first = self.name.split(".")[0]
        stage = first if first in STAGES else self.stage
        return "hot" if self.apply == "hot" else f"{self.apply}:{stage}"


@dataclass(frozen=True, slots=True)
class Rule:
    """A relation between knobs: ``check`` returns None, or why the values do not go together.

    It is asked when ``knob`` is active. ``reads`` names the other knobs whose values it looks at.
    """

    knob: str
    check: Callable[[Mapping[str, Value], CorpusFacts | None], str | None]
    reads: tuple[str, ...]


@dataclass(frozen=True)
class Space:
    """An ordered set of knobs with rules, optionally bound to a corpus."""

    knobs: tuple[Knob, ...]
    rules: tuple[Rule, ...] = ()
    corpus: CorpusFacts | None = None
    _by_name: dict[str, Knob] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        seen: dict[str, Knob] = {}
        for knob in self.knobs:
            if knob.name in seen or any(c.knob not in seen for c in knob.when):
                raise ValueError(f"{knob.name}: duplicate, or its condition names a later knob")
            seen[knob.name] = knob
        object.__setattr__(self, "_by_name", seen)

    def __iter__(self) -> Iterator[Knob]:
        return iter(self.knobs)

    def __getitem__(self, name: str) -> Knob:
        try:
            return self._by_name[name]
        except KeyError:
            close = get_close_matches(name, self._by_name, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ConfigError(f"unknown knob {name!r}{hint}", key=name) from None

    # -- derived spaces ---------------------------------------------------------------------

    def for_corpus(self, corpus: CorpusFacts) -> Space:
        """The same space, whose validity knows this corpus."""
        return replace(self, corpus=corpus)

    def fixed(self, values: Mapping[str, Value]) -> Space:
        """The subspace in which these knobs have one value each."""
        values = {name: self._check(name, value) for name, value in values.items()}
        return replace(
            self,
            knobs=tuple(
                replace(k, domain=Choice((values[k.name],)), default=values[k.name])
                if k.name in values
                else k
                for k in self.knobs
            ),
        )

    def defaulting(self, values: Mapping[str, Any]) -> Space:
        """The same space, whose default is the config with these values.

        Knobs that are inactive in it keep their defaults.

        Raises:
            ConfigError: as :meth:`config` does.
        """
        config = self.config(values)
        knobs = (replace(k, default=config.get(k.name, k.default)) for k in self.knobs)
        return replace(self, knobs=tuple(knobs))

    def subset(self, names: Iterable[str]) -> Space:
        """The space of these knobs only, in their order here.

        A condition on a knob that is left out gives way to the conditions of that knob: without
        ``index.kind``, ``retrieve.nprobe`` still needs a mode that asks the index. A rule that
        reads a knob that is left out is dropped.

        Raises:
            ConfigError: unknown knob.
        """
        kept = {self[name].name for name in names}
        return replace(
            self,
            knobs=tuple(
                replace(k, when=tuple(dict.fromkeys(self._conditions(k, kept))))
                for k in self.knobs
                if k.name in kept
            ),
            rules=tuple(r for r in self.rules if kept.issuperset((r.knob, *r.reads))),
        )

    # -- making configs ---------------------------------------------------------------------

    def config(
        self,
        values: Mapping[str, Any],
        base: Mapping[str, Any] | None = None,
        *,
        follow: bool = True,
    ) -> Config:
        """The config with these values; missing knobs come from ``base``, then the defaults.

        Values of ``base`` that become inactive or leave their domain are dropped, and a number
        that was not given follows the rules to the nearest value that they allow (``retrieve.k``
        of 3 takes ``generate.contexts`` down to 3) unless ``follow`` is off. What is given
        explicitly is never changed.

        Raises:
            ConfigError: unknown knob, value out of domain, inactive knob set, rule broken.
        """
        given = {name: self._check(name, value) for name, value in values.items()}
        inherited = {n: v for n, v in (base or {}).items() if n in self._by_name}
        full: dict[str, Value] = {}
        for knob in self.knobs:
            if knob.active(full):
                full[knob.name] = given.get(knob.name, self._inherited(knob, inherited))
            elif knob.name in given:
                needs = " and ".join(c.describe() for c in knob.when)
                raise ConfigError(
                    f"{knob.name} = {given[knob.name]} has no effect here: "
                    f"it is active only when {needs}",
                    key=knob.name,
                    value=given[knob.name],
                )
        broken = self._broken(full)
        if broken is not None and follow:
            self._follow(full, given)
            broken = self._broken(full)
        if broken is not None:
            name, why = broken
            raise ConfigError(f"{name} = {full[name]}: {why}", key=name, value=full[name])
        return Config(tuple(full.items()))

    def default(self) -> Config:
        """Every active knob at its default."""
        return self.config({})

    def valid(self, config: Mapping[str, Any]) -> bool:
        """Whether these values are exactly a config of this space."""
        try:
            return dict(self.config(config)) == dict(config)
        except ConfigError:
            return False

    def sample(self, rng: np.random.Generator) -> Config:
        """Draw a valid config: knobs independently, whole draws rejected until rules hold."""
        for _ in range(SAMPLE_TRIES):
            full: dict[str, Value] = {}
            for knob in self.knobs:
                if knob.active(full):
                    full[knob.name] = knob.domain.check(knob.domain.sample(rng))
            if self._broken(full) is None:
                return Config(tuple(full.items()))
        raise ConfigError(f"no valid config found in {SAMPLE_TRIES} draws: rules contradict")

    def neighbours(self, config: Config) -> list[Config]:
        """Every valid config one knob step away; newly active knobs take their defaults."""
        moves = (
            self.moved(config, knob.name, value, follow=False)
            for knob in self.knobs
            if knob.name in config
            for value in knob.domain.neighbours(config[knob.name])
        )
        return list(dict.fromkeys(m for m in moves if m is not None))

    def moved(
        self, config: Config, knob: str, value: Value, *, follow: bool = True
    ) -> Config | None:
        """The config with one knob changed, or None when that is not valid."""
        try:
            return self.config({knob: value}, base=config, follow=follow)
        except ConfigError:
            return None

    # -- vectors ----------------------------------------------------------------------------

    @property
    def width(self) -> int:
        """Length of an encoded config."""
        return sum(k.domain.width for k in self.knobs)

    @property
    def columns(self) -> list[str]:
        """Name of every coordinate: the knob, or ``knob=value`` of a one-hot one."""
        names: list[str] = []
        for k in self.knobs:
            grid = k.domain.grid
            names += [k.name] if k.domain.width == 1 else [f"{k.name}={v}" for v in grid]
        return names

    def encode(self, config: Config) -> np.ndarray:
        """Coordinates in [0, 1], shape ``(width,)``, float64; NaN where a knob is inactive."""
        parts: list[float] = []
        for k in self.knobs:
            value = config.get(k.name)
            parts += [math.nan] * k.domain.width if value is None else k.domain.encode(value)
        return np.array(parts)

    def decode(self, vector: Sequence[float] | np.ndarray) -> Config:
        """The config at the coordinates; the inverse of :meth:`encode` on valid configs."""
        values: dict[str, Any] = {}
        at = 0
        for k in self.knobs:
            part = [float(x) for x in vector[at : at + k.domain.width]]
            at += k.domain.width
            if not any(math.isnan(x) for x in part):
                values[k.name] = k.domain.decode(part)
        return self.config(values)

    def distance(self, a: Config, b: Config) -> float:
        """Gower distance in [0, 1]: the mean over knobs active in either of the coordinate
        difference (ordered), 0/1 (categorical), and 1 where only one has the knob."""
        names = [k for k in self.knobs if k.name in a or k.name in b]
        return sum(self._knob_distance(k, a, b) for k in names) / max(1, len(names))

    # -- inside -----------------------------------------------------------------------------

    def _conditions(self, knob: Knob, kept: Collection[str]) -> Iterator[When]:
        """The conditions of a knob, on knobs that are kept."""
        for condition in knob.when:
            if condition.knob in kept:
                yield condition
            else:
                yield from self._conditions(self[condition.knob], kept)

    def _knob_distance(self, knob: Knob, a: Config, b: Config) -> float:
        if knob.name not in a or knob.name not in b:
            return 1.0
        if not knob.domain.ordered:
            return float(a[knob.name] != b[knob.name])
        (at,), (bt,) = knob.domain.encode(a[knob.name]), knob.domain.encode(b[knob.name])
        return abs(at - bt)

    def _check(self, name: str, value: Any) -> Value:
        knob = self[name]
        try:
            return knob.domain.check(value)
        except ValueError as error:
            raise ConfigError(f"{name} = {value!r}: {error}", key=name, value=value) from None

    def _inherited(self, knob: Knob, inherited: Mapping[str, Any]) -> Value:
        if knob.name in inherited:
            try:
                return knob.domain.check(inherited[knob.name])
            except ValueError:
                pass
        return knob.default

    def _follow(self, values: dict[str, Value], given: Mapping[str, Value]) -> None:
        """Move ordered values that were not given to the nearest that their rule allows."""
        for rule in self.rules:
            if rule.knob not in values or rule.knob in given:
                continue
            domain, before = self[rule.knob].domain, values[rule.knob]
            if domain.ordered and rule.check(values, self.corpus) is not None:
                (at,) = domain.encode(before)
                for value in sorted(domain.grid, key=lambda v: abs(domain.encode(v)[0] - at)):
                    values[rule.knob] = value
                    if rule.check(values, self.corpus) is None:
                        break
                else:
                    values[rule.knob] = before

    def _broken(self, values: Mapping[str, Value]) -> tuple[str, str] | None:
        for rule in self.rules:
            if rule.knob in values:
                why = rule.check(values, self.corpus)
                if why is not None:
                    return rule.knob, why
        return None
