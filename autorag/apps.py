"""Registered apps, their revisions, and what of a revision reaches an app now.

Settings that an app takes up at its next query are delivered at once. Those that need a restart or
a rebuild of a stage wait for the next change of documents (or an operator's order) and ride on it:
until then the app keeps the values that it has *built*. What is delivered is always a valid config,
so a hot setting waits too when it would need what is not built (a hybrid search needs an embedder).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from autorag.errors import ConfigError
from autorag.space import Config, Space

RestartPolicy = Literal["auto", "approve", "off"]
"""Whether waiting settings ride on a change of documents by themselves, on an operator's order
only, or never."""

RevisionState = Literal["proposed", "active", "superseded"]
Origin = Literal["registered", "app", "operator", "tune", "rollback", "release"]
AckState = Literal["received", "applied", "failed"]

SCOPES = ("ingest", "settings", "ack", "documents", "suggest", "recommend")
"""What an app's key can open."""


@dataclass(frozen=True, slots=True)
class App:
    """One registered app.

    Attributes:
        space: the declaration of its knobs, None for all of the reference pipeline.
        objective: as an expression.
        webhook: URL that is told about restarts.
        docs, queries: paths under the data folder, and ``evaluator`` a URL: what a tune measures.
        features: of its workload, as JSON.
        hardware: fingerprint of its machine's profile.
        frozen: nothing changes until it is thawed.
        revision: number of the active revision.
        settings: what is delivered now.
        pending: knob → ``{"value", "apply"}`` that the active revision wants besides.
        built: values of knobs that are not hot, as the app has them.
        settings_version: counts the changes of what is delivered.
        root: Merkle root of its documents, None before a manifest came.
        documents_version: counts the changes of its documents.
    """

    id: int
    name: str
    space: Mapping[str, Any] | None
    objective: str
    policy: RestartPolicy
    webhook: str | None
    docs: str | None
    queries: str | None
    evaluator: str | None
    features: Mapping[str, Any] | None
    hardware: str | None
    frozen: bool
    revision: int | None
    settings: Mapping[str, Any]
    pending: Mapping[str, Any]
    built: Mapping[str, Any]
    settings_version: int
    root: str | None
    documents_version: int
    created_at: int
    changed_at: int


@dataclass(frozen=True, slots=True)
class Revision:
    """A numbered settings document. Times are seconds since the epoch.

    Attributes:
        config: what it wants.
        delivered: what of it the app got, and so what telemetry of this revision ran with; None
            while it is only proposed. What waited is delivered by a revision of its own.
    """

    number: int
    config: Mapping[str, Any]
    delivered: Mapping[str, Any] | None
    state: RevisionState
    origin: Origin
    reason: str | None
    created_at: int
    activated_at: int | None = None
    ended_at: int | None = None


@dataclass(frozen=True, slots=True)
class Ack:
    """What an instance did with a revision.

    Attributes:
        values: what it read back after applying.
        mismatched: knob → ``{"delivered", "read"}`` where the two differ.
    """

    instance: str
    revision: int
    state: AckState
    values: Mapping[str, Any] = field(default_factory=dict)
    mismatched: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    received_at: int | None = None
    applied_at: int | None = None
    failed_at: int | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """What an app runs with now, what waits, and the slow values that it then has built."""

    settings: Config
    pending: Mapping[str, Mapping[str, Any]]
    built: Mapping[str, Any]


def deliver(
    space: Space, target: Config, running: Mapping[str, Any], built: Mapping[str, Any]
) -> Delivery:
    """What of a target reaches an app now.

    Args:
        running: the settings delivered last.
        built: values of the knobs that are not hot, as the app has them.
    """
    settings = _reachable(space, target, running, built)
    pending = {
        name: {"value": value, "apply": space[name].applied}
        for name, value in target.items()
        if settings.get(name) != value
    }
    return Delivery(settings, pending, {**built, **dict(_slow(space, settings))})


def deliver_all(space: Space, target: Config, built: Mapping[str, Any]) -> Delivery:
    """The whole target: for a new app, or when its documents change and it builds anew anyway."""
    return Delivery(target, {}, {**built, **dict(_slow(space, target))})


def mismatches(delivered: Mapping[str, Any], read: Mapping[str, Any]) -> dict[str, Any]:
    """Knob → ``{"delivered", "read"}`` for what an app read back otherwise than it was delivered.
    Knobs that it did not read back are not judged."""
    return {
        name: {"delivered": delivered[name], "read": read[name]}
        for name in delivered
        if name in read and read[name] != delivered[name]
    }


def _reachable(
    space: Space, target: Config, running: Mapping[str, Any], built: Mapping[str, Any]
) -> Config:
    """The config nearest to the target whose slow values are built. Hot values that would activate
    a knob which is not built go back to what runs."""
    known = {k.name for k in space}
    wanted = {**target, **{n: v for n, v in built.items() if n in known}}
    for _ in range(len(known)):
        try:
            settings = space.config({}, base=wanted)
        except ConfigError:
            break
        gates = {
            condition.knob
            for name in settings
            if space[name].apply != "hot" and settings[name] != built.get(name)
            for condition in space[name].when
            if wanted.get(condition.knob) != running.get(condition.knob)
        }
        if not gates:
            if all(settings[n] == built.get(n) for n, _ in _slow(space, settings)):
                return settings
            break
        wanted |= {name: running[name] for name in gates if name in running}
    return space.config({}, base={n: v for n, v in running.items() if n in known})


def _slow(space: Space, config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The values that need a restart or a rebuild."""
    return ((name, value) for name, value in config.items() if space[name].apply != "hot")
