"""The tables, as SQLAlchemy Core. Times are seconds since the epoch (integers)."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

metadata = MetaData(naming_convention=NAMING)

_Key = BigInteger().with_variant(Integer, "sqlite")

studies = Table(
    "studies",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("identity", String(64), nullable=False, index=True),
    Column("state", String(16), nullable=False),
    Column("workload", JSON, nullable=False),
    Column("workload_hash", String(64), nullable=False, index=True),
    Column("settings", JSON, nullable=False),
    Column("outcome", JSON),
    Column("created_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
)
"""One search on one workload. ``identity`` is equal for studies that would be the same, so that an
unfinished one is found again; ``state`` is running or finished."""

trials = Table(
    "trials",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("study_id", _Key, ForeignKey("studies.id", ondelete="CASCADE"), nullable=False),
    Column("split", String(16), nullable=False),
    Column("number", Integer, nullable=False),
    Column("config", JSON, nullable=False),
    Column("config_hash", String(32), nullable=False, index=True),
    Column("state", String(16), nullable=False),
    Column("metrics", JSON, nullable=False),
    Column("stages", JSON, nullable=False),
    Column("reused", JSON, nullable=False),
    Column("build_s", JSON, nullable=False),
    Column("conditions", JSON, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("reason", Text),
    Column("started_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    UniqueConstraint("study_id", "split", "number"),
)
"""One config measured on one side (``split``: search or report) of a study's queries."""

trial_queries = Table(
    "trial_queries",
    metadata,
    Column("trial_id", _Key, ForeignKey("trials.id", ondelete="CASCADE"), primary_key=True),
    Column("query", String, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("metrics", JSON, nullable=False),
    Column("stage_ms", JSON, nullable=False),
    Column("chunk_ids", LargeBinary, nullable=False),
    Column("scores", LargeBinary, nullable=False),
    Column("prompt", String(64)),
)
"""One query of a trial. ``chunk_ids`` is 20 bytes a ranked context, ``scores`` its float32."""
