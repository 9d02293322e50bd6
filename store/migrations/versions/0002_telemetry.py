"""Telemetry, the machines that things were measured on, and bearer keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create their tables."""
    _control()
    _traces()
    _spans()
    _observations()


def _control() -> None:
    op.create_table(
        "keys",
        sa.Column("id", _KEY, primary_key=True),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
        sa.UniqueConstraint("hash"),
    )
    op.create_table(
        "hosts",
        sa.Column("fingerprint", sa.String(64), primary_key=True),
        sa.Column("profile", sa.JSON, nullable=False),
        sa.Column("capabilities", sa.JSON, nullable=False),
        sa.Column("recorded_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "telemetry_sources",
        sa.Column("id", _KEY, primary_key=True),
        sa.Column("identity", sa.String(64), nullable=False),
        sa.Column("app", sa.String(120), nullable=False),
        sa.Column("service", sa.Text),
        sa.Column("revision", sa.Text),
        sa.Column("document_version", sa.Text),
        sa.Column("instance", sa.Text),
        sa.Column("host", sa.Text),
        sa.Column("hardware", sa.Text),
        sa.Column("aliases", sa.Integer),
        sa.Column("first_seen_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("identity"),
    )
    op.create_index("ix_telemetry_sources_app", "telemetry_sources", ["app"])


def _traces() -> None:
    op.create_table(
        "traces",
        sa.Column("id", _KEY, primary_key=True),
        sa.Column("trace_id", sa.LargeBinary(16), nullable=False),
        sa.Column("source_id", _KEY, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("entered", sa.Boolean, nullable=False),
        sa.Column("last_seen_at", sa.BigInteger, nullable=False),
        sa.Column("settled", sa.Integer, nullable=False),
        sa.Column("start_ns", sa.BigInteger),
        sa.Column("duration_ns", sa.BigInteger),
        sa.Column("phase", sa.String(8)),
        sa.Column("query", sa.String(16)),
        sa.Column("error", sa.Boolean),
        sa.Column("complete", sa.Boolean),
        sa.Column("weight", sa.Float),
        sa.UniqueConstraint("trace_id"),
    )
    unsettled = sa.text("settled < version")
    op.create_index(
        "ix_traces_unsettled",
        "traces",
        ["last_seen_at"],
        sqlite_where=unsettled,
        postgresql_where=unsettled,
    )
    op.create_index("ix_traces_source_start", "traces", ["source_id", "start_ns"])


def _spans() -> None:
    op.create_table(
        "spans",
        sa.Column("trace", _KEY, primary_key=True, autoincrement=False),
        sa.Column("span_id", sa.LargeBinary(8), primary_key=True),
        sa.Column("parent_id", sa.LargeBinary(8)),
        sa.Column("entry", sa.Boolean, nullable=False),
        sa.Column("name", sa.String(120), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("confidence", sa.Float, nullable=False),
        sa.Column("start_ns", sa.BigInteger, nullable=False),
        sa.Column("duration_ns", sa.BigInteger),
        sa.Column("error", sa.Boolean, nullable=False),
        sa.Column("facts", sa.LargeBinary),
        sa.Column("source_id", _KEY, nullable=False),
        sqlite_with_rowid=False,
    )


def _observations() -> None:
    op.create_table(
        "observations",
        sa.Column("trace", _KEY, primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("source_id", _KEY, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("phase", sa.String(8)),
        sa.Column("stage", sa.String(16), nullable=False),
        sa.Column("metric", sa.String(80), nullable=False),
        sa.Column("value", sa.Float, nullable=False),
        sa.Column("unit", sa.String(16), nullable=False),
        sa.Column("confidence", sa.Float, nullable=False),
        sa.Column("weight", sa.Float, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_observations_source_at", "observations", ["source_id", "at"])
