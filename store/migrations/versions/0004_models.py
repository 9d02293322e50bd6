"""Sets of trained models, and their files."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create their tables."""
    op.create_table(
        "models",
        sa.Column("version", _KEY, primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("about", sa.JSON, nullable=False),
        sa.Column("verdict", sa.JSON, nullable=False),
        sa.Column("replaced", _KEY),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("promoted_at", sa.BigInteger),
        sa.Column("archived_at", sa.BigInteger),
        sqlite_autoincrement=True,
    )
    owner = sa.ForeignKey("models.version", ondelete="CASCADE")
    op.create_table(
        "model_files",
        sa.Column("version", _KEY, owner, primary_key=True),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
    production = sa.text("state = 'production'")
    op.create_index(
        "uq_models_production",
        "models",
        ["state"],
        unique=True,
        sqlite_where=production,
        postgresql_where=production,
    )
