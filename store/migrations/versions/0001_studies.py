"""Studies, trials and per-query results."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create the first tables."""
    op.create_table(
        "studies",
        sa.Column("id", _KEY, primary_key=True),
        sa.Column("identity", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("workload", sa.JSON, nullable=False),
        sa.Column("workload_hash", sa.String(64), nullable=False),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("outcome", sa.JSON),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger),
    )
    op.create_index("ix_studies_identity", "studies", ["identity"])
    op.create_index("ix_studies_workload_hash", "studies", ["workload_hash"])
    op.create_table(
        "trials",
        sa.Column("id", _KEY, primary_key=True),
        sa.Column(
            "study_id", _KEY, sa.ForeignKey("studies.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("split", sa.String(16), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("config", sa.JSON, nullable=False),
        sa.Column("config_hash", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("metrics", sa.JSON, nullable=False),
        sa.Column("stages", sa.JSON, nullable=False),
        sa.Column("reused", sa.JSON, nullable=False),
        sa.Column("build_s", sa.JSON, nullable=False),
        sa.Column("conditions", sa.JSON, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger),
        sa.UniqueConstraint("study_id", "split", "number"),
    )
    op.create_index("ix_trials_config_hash", "trials", ["config_hash"])
    op.create_table(
        "trial_queries",
        sa.Column(
            "trial_id", _KEY, sa.ForeignKey("trials.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("query", sa.String, primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("metrics", sa.JSON, nullable=False),
        sa.Column("stage_ms", sa.JSON, nullable=False),
        sa.Column("chunk_ids", sa.LargeBinary, nullable=False),
        sa.Column("scores", sa.LargeBinary, nullable=False),
        sa.Column("prompt", sa.String(64)),
    )
