"""Schema migrations, by Alembic. Each records itself in the transaction that it changes data in."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from autorag.errors import StoreError

FOLDER = Path(__file__).parent
TABLE = "alembic_version"
"""Where a database has its revision."""


def upgrade(engine: Engine) -> None:
    """Bring the schema to the newest revision; one transaction, safe for processes that race.

    Raises:
        StoreError: a newer AutoRAG made it.
    """
    with engine.begin() as connection:
        upgrade_within(connection)


def upgrade_within(connection: Connection, revision: str | None = None) -> None:
    """Bring the schema to a revision, the newest unless told, in a transaction."""
    from alembic import command

    from store.engine import MIGRATION_LOCK

    if connection.dialect.name == "postgresql":
        # Control and telemetry, which have a lock each, are the same database there.
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
    wanted = revision or head()
    found = current(connection)
    if found == wanted:
        return
    check_known(found)
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, wanted)


def current(connection: Connection) -> str | None:
    """The revision that a database is at; None before its first tables."""
    from sqlalchemy import inspect, text

    if not inspect(connection).has_table(TABLE):
        return None
    found: str | None = connection.scalar(text(f"SELECT version_num FROM {TABLE}"))
    return found


def check_known(revision: str | None) -> None:
    """Refuse a schema that is newer than this code.

    Raises:
        StoreError: a newer AutoRAG made it.
    """
    if revision is not None and revision not in known():
        raise StoreError(f"its schema ({revision}) was made by a newer AutoRAG")


def head() -> str:
    """The newest revision."""
    newest = _scripts().get_current_head()
    assert isinstance(newest, str)
    return newest


def known() -> set[str]:
    """Every revision that there is."""
    return {script.revision for script in _scripts().walk_revisions()}


def _config() -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    return config


@cache
def _scripts() -> Any:
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_config())
