"""Schema migrations, by Alembic. Each records itself in the transaction that it changes data in."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine

FOLDER = Path(__file__).parent


def upgrade(engine: Engine) -> None:
    """Bring the schema to the newest revision; one transaction, safe for processes that race."""
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from sqlalchemy import inspect, text

    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    head = ScriptDirectory.from_config(config).get_current_head()
    with engine.begin() as connection:
        if inspect(connection).has_table("alembic_version"):
            current = connection.scalar(text("SELECT version_num FROM alembic_version"))
            if current == head:
                return
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
