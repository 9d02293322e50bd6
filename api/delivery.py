"""Use cases of delivering settings: registering, proposing, going back, freezing, releasing.

Each works within one session and holds the lock of its app. A proposed revision becomes active at
once unless the app is frozen; then it waits, and thawing activates the newest that waits. What of
an active revision is delivered is decided by :mod:`autorag.apps`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from autorag.apps import App, Delivery, Origin, Revision, deliver, deliver_all
from autorag.errors import ConflictError
from autorag.space import Config, Space
from store.apps import NewApp
from store.database import Session

SpaceOf = Callable[[App], Space]


def register(session: Session, new: NewApp, values: Mapping[str, Any], spaces: SpaceOf) -> App:
    """Register an app that runs with these settings (others are at their defaults): they become
    its first revision.

    Raises:
        ConflictError: the name is taken.
        ConfigError: the settings are not in the space.
    """
    app = session.apps.add(new)
    space = spaces(app)
    config = space.config(values)
    revision = session.revisions.add(app.id, config.to_json(), "registered", None)
    _activate(session, app, revision, deliver_all(space, config, {}))
    return session.apps.get(new.name)


def propose(
    session: Session,
    name: str,
    values: Mapping[str, Any],
    origin: Origin,
    reason: str | None,
    spaces: SpaceOf,
) -> Revision:
    """Propose settings: values that are not given are those of the active revision.

    Raises:
        NotFoundError: no such app.
        ConfigError: the settings are not in the app's space.
    """
    app = session.apps.get(name, lock=True)
    space = spaces(app)
    config = space.config(values, base=_active(session, app))
    revision = session.revisions.add(app.id, config.to_json(), origin, reason)
    if not app.frozen:
        _activate(session, app, revision, deliver(space, config, app.settings, app.built))
    return session.revisions.get(app.id, revision.number)


def roll_back(
    session: Session, name: str, number: int, reason: str | None, spaces: SpaceOf
) -> Revision:
    """Go back to the settings of an earlier revision, by a new one.

    Raises:
        NotFoundError: no such app or revision.
        ConflictError: that revision is the active one, or was never active, or the app is frozen.
    """
    app = session.apps.get(name, lock=True)
    earlier = session.revisions.get(app.id, number)
    if earlier.state == "active":
        raise ConflictError(f"revision {number} is active", key="revision", value=number)
    if earlier.activated_at is None:
        raise ConflictError(f"revision {number} never was active", key="revision", value=number)
    if app.frozen:
        raise ConflictError(f"app {name!r} is frozen: thaw it first", key="app", value=name)
    space = spaces(app)
    config = space.config({}, base=earlier.config)
    why = reason or f"back to revision {number}"
    revision = session.revisions.add(app.id, config.to_json(), "rollback", why)
    _activate(session, app, revision, deliver(space, config, app.settings, app.built))
    return session.revisions.get(app.id, revision.number)


def freeze(session: Session, name: str, frozen: bool, spaces: SpaceOf) -> App:
    """Stop all changes of an app's settings, or let them go on.

    Raises:
        NotFoundError: no such app.
    """
    app = session.apps.get(name, lock=True)
    if app.frozen != frozen:
        version = app.settings_version + 1
        session.apps.change(app.id, frozen=frozen, settings_version=version)
        app = session.apps.get(name)
    if not frozen:
        newest = session.revisions.newest(app.id, 1)[0]
        if newest.state == "proposed":
            space = spaces(app)
            config = space.config({}, base=newest.config)
            _activate(session, app, newest, deliver(space, config, app.settings, app.built))
    return session.apps.get(name)


def release(session: Session, app: App, why: str, spaces: SpaceOf) -> None:
    """Deliver what waits: the app restarts or builds anew anyway, or is told to. It is a revision
    of its own, so that what ran before and after can be told apart."""
    if app.pending:
        space = spaces(app)
        config = space.config({}, base=_active(session, app))
        revision = session.revisions.add(app.id, config.to_json(), "release", why)
        _activate(session, app, revision, deliver_all(space, config, app.built))


def order_release(
    session: Session, name: str, spaces: SpaceOf, *, dry_run: bool
) -> Mapping[str, Any]:
    """An operator's order to deliver what waits; returns what that is.

    Raises:
        NotFoundError: no such app.
        ConflictError: the app is never to be restarted, or frozen.
    """
    app = session.apps.get(name, lock=True)
    if app.policy == "off":
        raise ConflictError(
            f"app {name!r} has the restart policy 'off'", key="policy", value=app.policy
        )
    if app.frozen:
        raise ConflictError(f"app {name!r} is frozen: thaw it first", key="app", value=name)
    if not dry_run:
        release(session, app, "an operator's order", spaces)
    return app.pending


def change_app(session: Session, name: str, changes: Mapping[str, Any], spaces: SpaceOf) -> App:
    """Change what an app was registered with. Another space is a new revision: knobs that stay
    keep their values, new ones are at their defaults.

    Raises:
        NotFoundError: no such app.
        ConfigError: a value of now is not in the new space.
    """
    app = session.apps.get(name, lock=True)
    if changes:
        session.apps.change(app.id, **changes)
    if "space" in changes and changes["space"] != app.space:
        _move(session, app, spaces(session.apps.get(name)))
    return session.apps.get(name)


def _move(session: Session, app: App, space: Space) -> None:
    """Take an app's settings over into another space."""
    wanted, running = (_moved(config, space) for config in (_active(session, app), app.settings))
    revision = session.revisions.add(app.id, wanted.to_json(), "operator", "the space changed")
    known = deliver_all(space, running, {}).built
    kept = {n: v for n, v in app.built.items() if n in {k.name for k in space}}
    _activate(session, app, revision, deliver(space, wanted, running, {**kept, **known}))


def _moved(config: Mapping[str, Any], space: Space) -> Config:
    names = {knob.name for knob in space}
    return space.config({n: v for n, v in config.items() if n in names})


def _active(session: Session, app: App) -> Mapping[str, Any]:
    """The config of the active revision; every registered app has one."""
    assert app.revision is not None
    return session.revisions.get(app.id, app.revision).config


def _activate(session: Session, app: App, revision: Revision, delivery: Delivery) -> None:
    session.revisions.activate(app.id, revision.number, delivery.settings)
    session.apps.change(
        app.id,
        revision=revision.number,
        settings=delivery.settings.to_json(),
        pending=dict(delivery.pending),
        built=dict(delivery.built),
        settings_version=app.settings_version + 1,
    )
