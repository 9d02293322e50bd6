"""Registered apps."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from autorag.apps import App
from autorag.errors import ConflictError, NotFoundError
from store.repositories import Repository
from store.tables import apps, keys, studies

_COLUMNS = [apps.c[f.name] for f in fields(App)]


@dataclass(frozen=True, slots=True)
class NewApp:
    """What an app is registered with. See :class:`autorag.apps.App`."""

    name: str
    space: Mapping[str, Any] | None
    objective: str
    policy: str
    webhook: str | None


@dataclass(frozen=True, slots=True)
class SettingsRow:
    """What is delivered to an app."""

    app_id: int
    revision: int | None
    settings: Mapping[str, Any]
    pending: Mapping[str, Any]
    version: int
    frozen: bool


class AppRepository(Repository):
    """Apps by name. A number is never given again, also when its app was deleted. What an app told
    is in the database of telemetry; that goes by :func:`store.retention.disown`."""

    def add(self, new: NewApp) -> App:
        """Register an app; it has no settings yet.

        Raises:
            ConflictError: the name is taken.
        """
        now = self._now
        row = {
            **{f.name: getattr(new, f.name) for f in fields(NewApp)},
            **{name: {} for name in ("settings", "pending", "built")},
            "frozen": False,
            "settings_version": 0,
            "documents_version": 0,
            "created_at": now,
            "changed_at": now,
        }
        with self._transaction("the app could not be registered") as connection:
            if connection.scalar(select(apps.c.id).where(apps.c.name == new.name)) is not None:
                raise ConflictError(
                    f"app {new.name!r} is registered already", key="name", value=new.name
                )
            connection.execute(insert(apps), row)
            return _app(connection.execute(_named(new.name)).one())

    def get(self, name: str, *, lock: bool = False) -> App:
        """The app of this name.

        Args:
            lock: nobody else changes it before the transaction ends.

        Raises:
            NotFoundError: nothing of this name is registered.
        """
        query = _named(name)
        with self._reading() as connection:
            row = connection.execute(query.with_for_update() if lock else query).first()
        if row is None:
            raise NotFoundError(f"no app {name!r} is registered", key="app", value=name)
        return _app(row)

    def by_id(self, app_id: int) -> App | None:
        """The app of this number."""
        with self._reading() as connection:
            row = connection.execute(select(*_COLUMNS).where(apps.c.id == app_id)).first()
        return None if row is None else _app(row)

    def all(self) -> list[App]:
        """Every app, by name."""
        with self._reading() as connection:
            rows = connection.execute(select(*_COLUMNS).order_by(apps.c.name))
            return [_app(row) for row in rows]

    def names(self) -> list[str]:
        """The name of every app."""
        with self._reading() as connection:
            return list(connection.scalars(select(apps.c.name).order_by(apps.c.name)))

    def change(self, app_id: int, **values: Any) -> None:
        """Change columns of an app."""
        changed = update(apps).where(apps.c.id == app_id)
        with self._transaction("the app could not be changed") as connection:
            connection.execute(changed.values(**values, changed_at=self._now))

    def delete(self, app_id: int) -> None:
        """Delete an app and everything that belongs to it. Its studies, which may be large, are
        nobody's and not found any more; a prune deletes them."""
        left = update(studies).where(studies.c.app_id == app_id)
        with self._transaction("the app could not be deleted") as connection:
            connection.execute(left.values(app_id=None, state="deleted"))
            connection.execute(delete(keys).where(keys.c.app_id == app_id))
            connection.execute(delete(apps).where(apps.c.id == app_id))

    def settings(self, name: str) -> SettingsRow:
        """What is delivered to the app of this name.

        Raises:
            NotFoundError: nothing of this name is registered.
        """
        c = apps.c
        columns = (c.id, c.revision, c.settings, c.pending, c.settings_version, c.frozen)
        with self._reading() as connection:
            row = connection.execute(select(*columns).where(c.name == name)).first()
        if row is None:
            raise NotFoundError(f"no app {name!r} is registered", key="app", value=name)
        return SettingsRow(*row)

    def versions(self, names: Collection[str]) -> dict[str, tuple[int, int]]:
        """Name → (id, settings version) of those that are registered."""
        c = apps.c
        query = select(c.name, c.id, c.settings_version).where(c.name.in_(names))
        with self._reading() as connection:
            return {name: (id_, version) for name, id_, version in connection.execute(query)}


def _named(name: str) -> Any:
    return select(*_COLUMNS).where(apps.c.name == name)


def _app(row: Row[Any]) -> App:
    return App(*tuple(row))
