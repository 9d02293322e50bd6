"""Registered apps and everything that belongs to them, jobs, schedules, and hourly histograms."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create their tables."""
    _apps()
    _belongs_to("studies")
    _belongs_to("keys")
    op.add_column("keys", sa.Column("scopes", sa.JSON))
    op.add_column("keys", sa.Column("label", sa.String(120)))
    _delivery()
    _suggestions()
    _answers()
    _work()
    _rollups()


def _app_id(*, primary_key: bool = False, nullable: bool = True) -> sa.Column[int]:
    owner = sa.ForeignKey("apps.id", ondelete="CASCADE")
    nullable = nullable and not primary_key
    return sa.Column("app_id", _KEY, owner, primary_key=primary_key, nullable=nullable)


def _belongs_to(table: str) -> None:
    """Add the app that rows belong to."""
    op.add_column(table, sa.Column("app_id", _KEY))
    op.create_index(f"ix_{table}_app_id", table, ["app_id"])


def _apps() -> None:
    op.create_table(
        "apps",
        sa.Column("id", _KEY, primary_key=True),
        sa.Column("name", sa.String(120), nullable=False),
        sa.Column("space", sa.JSON),
        sa.Column("objective", sa.Text, nullable=False),
        sa.Column("policy", sa.String(8), nullable=False),
        sa.Column("webhook", sa.Text),
        sa.Column("docs", sa.Text),
        sa.Column("queries", sa.Text),
        sa.Column("evaluator", sa.Text),
        sa.Column("features", sa.JSON),
        sa.Column("hardware", sa.String(64)),
        sa.Column("frozen", sa.Boolean, nullable=False),
        sa.Column("revision", sa.Integer),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("pending", sa.JSON, nullable=False),
        sa.Column("built", sa.JSON, nullable=False),
        sa.Column("settings_version", sa.Integer, nullable=False),
        sa.Column("root", sa.String(64)),
        sa.Column("documents_version", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("name"),
        sqlite_autoincrement=True,
    )


def _delivery() -> None:
    op.create_table(
        "revisions",
        _app_id(primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("config", sa.JSON, nullable=False),
        sa.Column("delivered", sa.JSON),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("activated_at", sa.BigInteger),
        sa.Column("ended_at", sa.BigInteger),
    )
    op.create_table(
        "acks",
        _app_id(primary_key=True),
        sa.Column("instance", sa.String(120), primary_key=True),
        sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("values", sa.JSON, nullable=False),
        sa.Column("mismatched", sa.JSON, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("received_at", sa.BigInteger),
        sa.Column("applied_at", sa.BigInteger),
        sa.Column("failed_at", sa.BigInteger),
    )
    op.create_table(
        "documents",
        _app_id(primary_key=True),
        sa.Column("document", sa.Text, primary_key=True),
        sa.Column("content_hash", sa.String(128), nullable=False),
        sqlite_with_rowid=False,
    )


def _suggestions() -> None:
    trial = sa.ForeignKey("trials.id", ondelete="CASCADE")
    op.create_table(
        "suggestions",
        sa.Column("trial_id", _KEY, trial, primary_key=True),
        _app_id(nullable=False),
        sa.Column("client", sa.String(120), nullable=False),
        sa.Column("pending", sa.Boolean, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_suggestions_app_client", "suggestions", ["app_id", "client"])


def _answers() -> None:
    op.create_table(
        "answers",
        sa.Column("caller", sa.String(64), primary_key=True),
        sa.Column("key", sa.String(256), primary_key=True),
        sa.Column("request", sa.String(64), nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("headers", sa.JSON, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_answers_created_at", "answers", ["created_at"])


def _work() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", _KEY, primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        _app_id(),
        sa.Column("arguments", sa.JSON, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("live", sa.String(160)),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("most_attempts", sa.Integer, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("lease", sa.String(64)),
        sa.Column("lease_until", sa.BigInteger),
        sa.Column("cancelling", sa.Boolean, nullable=False),
        sa.Column("progress", sa.JSON),
        sa.Column("result", sa.JSON),
        sa.Column("error", sa.Text),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("ended_at", sa.BigInteger),
        sa.UniqueConstraint("live"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_jobs_state_due_at", "jobs", ["state", "due_at"])
    op.create_table(
        "schedules",
        sa.Column("id", _KEY, primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        _app_id(),
        sa.Column("arguments", sa.JSON, nullable=False),
        sa.Column("cron", sa.String(120), nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("next_at", sa.BigInteger, nullable=False),
        sa.Column("last_at", sa.BigInteger),
        sa.Column("last_job", _KEY),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_schedules_next_at", "schedules", ["next_at"])


def _rollups() -> None:
    op.create_table(
        "rollups",
        sa.Column("app", sa.String(120), primary_key=True),
        sa.Column("hour", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("revision", sa.String(120), primary_key=True),
        sa.Column("phase", sa.String(8), primary_key=True),
        sa.Column("stage", sa.String(16), primary_key=True),
        sa.Column("metric", sa.String(80), primary_key=True),
        sa.Column("histogram", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_rollups_hour", "rollups", ["hour"])
