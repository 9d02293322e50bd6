"""Spaces that apps declare: a subset of the reference pipeline's knobs, and knobs of their own.

A declaration is JSON::

    {"reference": ["retrieve.k"],
     "knobs": [
       {"name": "search.mode", "type": "choice", "values": ["graph", "scan"], "default": "graph",
        "stage": "retrieve"},
       {"name": "search.limit", "type": "int", "low": 1, "high": 100, "log": true,
        "grid": [5, 10, 20, 50], "default": 10, "when": {"search.mode": ["graph"]}},
       {"name": "prompt.brief", "type": "bool"}]}

``reference`` is true (all knobs of the reference pipeline), false (none) or a list of them; left
out, it is true where no own knobs are declared and false where there are some. The space holds the
reference knobs first, then the own ones as they are declared. An own knob has

* ``name``: dotted, lower case; it may be that of a reference knob which is not taken over;
* ``type``: ``int`` or ``float`` (``low``, ``high``, ``log``, ``grid``), ``choice`` (``values``,
  ``ordered``) or ``bool``; without a grid, numbers are drawn from the whole range;
* ``default``: needed, except for ``bool``, where it is false;
* ``stage``: the first stage that a change of it invalidates. Left out, it is the first part of the
  name if that is a stage, else null: no stage known here depends on it;
* ``apply``: ``hot``, ``restart`` or ``rebuild``. What is not hot needs a stage in its name or in
  ``stage``, since somebody has to be told what to restart;
* ``when``: for each knob named, the values with which this one is active. The knobs named stand
  before it;
* ``algorithmic``: whether it can change an answer, true if left out; ``meaning``: a short text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from autorag.errors import ConfigError
from autorag.space.domains import Choice, Domain, Number, Value
from autorag.space.given import Given
from autorag.space.space import Knob, Space, When
from autorag.stages import STAGES

MAX_KNOBS = 100
MAX_VALUES = 200
MAX_CONDITIONS = 10

APPLIES = ("hot", "restart", "rebuild")

_ALWAYS = ("name", "type", "default", "stage", "apply", "when", "algorithmic", "meaning")
_BY_TYPE: Mapping[str, tuple[str, ...]] = {
    "int": ("low", "high", "log", "grid"),
    "float": ("low", "high", "log", "grid"),
    "choice": ("values", "ordered"),
    "bool": (),
}
_KEYS = (*_ALWAYS, *_BY_TYPE["int"], *_BY_TYPE["choice"])
_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+")
_BOOLS = Choice((False, True), ordered=True)
"""Ordered, since one coordinate tells two values apart."""


def declared_space(declaration: Mapping[str, Any] | None, reference: Space) -> Space:
    """The space that an app declares; the reference space when it declares none.

    Raises:
        ConfigError: the declaration is not of the form, or its default config is not valid.
    """
    if declaration is None:
        return reference
    given = Given("space", declaration).only(("reference", "knobs"))
    own = given.at("knobs", []).items(MAX_KNOBS)
    space = _taken_over(given.at("reference", not own), reference)
    for knob in own:
        space = replace(space, knobs=(*space.knobs, _own_knob(knob, space)))
    if not space.knobs:
        raise given.refused("declares no knob; leave it out for those of the reference pipeline")
    return _with_valid_default(space)


def space_to_json(space: Space) -> dict[str, Any]:
    """The space as clients see it: every knob in full, whoever declared it."""
    return {"knobs": [knob_to_json(knob) for knob in space]}


def knob_to_json(knob: Knob) -> dict[str, Any]:
    """The knob as clients see it. ``applied`` names the stage too, as in ``restart:rerank``."""
    return {
        "name": knob.name,
        **_domain_to_json(knob.domain),
        "default": knob.default,
        "stage": knob.stage,
        "applied": knob.applied,
        "algorithmic": knob.algorithmic,
        "when": _when_to_json(knob),
        "meaning": knob.meaning,
    }


def _taken_over(given: Given, reference: Space) -> Space:
    """The part of the reference space that is declared."""
    if isinstance(given.value, bool):
        return reference if given.value else reference.subset(())
    names: set[str] = set()
    for item in given.items(len(reference.knobs)):
        name = item.text()
        if name in names:
            raise item.refused("stands there twice")
        try:
            names.add(reference[name].name)
        except ConfigError as error:
            raise item.refused(str(error)) from None
    return reference.subset(names)


def _with_valid_default(space: Space) -> Space:
    try:
        space.default()
    except ConfigError as error:
        message = f"space: the default config is not valid: {error}"
        raise ConfigError(message, key="space", value=error.value) from None
    return space


# -- one own knob ---------------------------------------------------------------------------


def _own_knob(given: Given, earlier: Space) -> Knob:
    name = _name(given.only(_KEYS).at("name"), earlier)
    kind = given.at("type").one_of(_BY_TYPE)
    _refuse_foreign_keys(given, kind)
    domain = _domain(given, kind)
    default = given.at("default", False) if kind == "bool" else given.at("default")
    stage = given.at("stage", _stage_of(name)).one_of((*STAGES, None))
    apply = given.at("apply", "hot").one_of(APPLIES)
    if apply != "hot" and stage is None and _stage_of(name) is None:
        raise given.at("apply").refused(f"needs a stage: name one in {given.key}.stage")
    return Knob(
        name,
        domain,
        default.within(domain),
        stage,
        apply,
        given.at("algorithmic", True).flag(),
        _when(given.at("when", {}), earlier),
        given.at("meaning", "").text(),
    )


def _name(given: Given, earlier: Space) -> str:
    name = given.text()
    if _NAME.fullmatch(name) is None:
        raise given.refused("expected lower case parts with dots between, like retrieve.limit")
    if any(k.name == name for k in earlier):
        raise given.refused("is a knob of this space already")
    return name


def _refuse_foreign_keys(given: Given, kind: str) -> None:
    for key in given.names():
        if key not in (*_ALWAYS, *_BY_TYPE[kind]):
            raise given.at(key).refused(f"means nothing for a knob of type {kind}")


def _domain(given: Given, kind: str) -> Domain:
    if kind == "bool":
        return _BOOLS
    return _choice(given) if kind == "choice" else _number(given, integer=kind == "int")


def _number(given: Given, *, integer: bool) -> Number:
    low, high = (_bound(given.at(name), integer) for name in ("low", "high"))
    log = given.at("log", False).flag()
    if low > high:
        raise given.at("high").refused(f"is less than low = {low:g}")
    if log and low <= 0:
        raise given.at("low").refused("a logarithmic range starts above 0")
    domain = Number(low, high, integer, log)
    grid = [(item, item.within(domain)) for item in given.at("grid", []).items(MAX_VALUES)]
    return replace(domain, grid=tuple(sorted(_distinct(grid))))


def _bound(given: Given, integer: bool) -> float:
    return given.integer() if integer else given.decimal()


def _choice(given: Given) -> Choice:
    values = given.at("values")
    allowed = _distinct([(item, item.scalar()) for item in values.items(MAX_VALUES)])
    if not allowed:
        raise values.refused("expected at least one value")
    return Choice(tuple(allowed), given.at("ordered", False).flag())


def _distinct(values: list[tuple[Given, Value]]) -> list[Any]:
    """The values; refused where two are equal, as 1 and true are, or read alike, as 1 and "1"."""
    seen: set[Value] = set()
    for given, value in values:
        if value in seen or str(value) in seen:
            raise given.refused("is not distinct from a value before it")
        seen |= {value, str(value)}
    return [value for _, value in values]


def _stage_of(name: str) -> str | None:
    first = name.split(".")[0]
    return first if first in STAGES else None


def _when(given: Given, earlier: Space) -> tuple[When, ...]:
    names = given.names()
    if len(names) > MAX_CONDITIONS:
        raise given.refused(f"names {len(names)} knobs, at most {MAX_CONDITIONS} are allowed")
    return tuple(_condition(given.at(name), name, earlier) for name in names)


def _condition(given: Given, name: str, earlier: Space) -> When:
    domain = next((k.domain for k in earlier if k.name == name), None)
    if domain is None:
        raise given.refused("is no knob that stands before this one")
    values = [item.within(domain) for item in given.items(MAX_VALUES)]
    if not values:
        raise given.refused("expected at least one value")
    return When.is_(name, *values)


# -- what clients see -----------------------------------------------------------------------


def _domain_to_json(domain: Domain) -> dict[str, Any]:
    if not isinstance(domain, Number):
        bools = domain.grid and all(isinstance(v, bool) for v in domain.grid)
        choice = {"type": "choice", "values": list(domain.grid), "ordered": domain.ordered}
        return {"type": "bool"} if bools and len(domain.grid) == 2 else choice
    kind = int if domain.integer else float
    return {
        "type": kind.__name__,
        "low": kind(domain.low),
        "high": kind(domain.high),
        "log": domain.log,
        "grid": [kind(v) for v in domain.grid],
    }


def _when_to_json(knob: Knob) -> dict[str, list[Value]]:
    """Knob → the values with which this one is active."""
    allowed: dict[str, frozenset[Value]] = {}
    for condition in knob.when:
        allowed[condition.knob] = allowed.get(condition.knob, condition.values) & condition.values
    return {name: sorted(values, key=_numbers_first) for name, values in allowed.items()}


def _numbers_first(value: Value) -> tuple[bool, Any]:
    return isinstance(value, str), value
