"""The tables, as SQLAlchemy Core. Times are integers: seconds since the epoch, or ``_ns``.

With SQLite, telemetry lives in a file of its own: both files have all tables, by the same
migrations, and each uses its own; no transaction spans the two, so nothing in one refers to rows of
the other.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
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

keys = Table(
    "keys",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("hash", String(64), nullable=False, unique=True),
    Column("scope", String(16), nullable=False),
    Column("origin", String(16), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
)
"""Bearer keys, as SHA-256 of what the caller holds. ``scope`` is admin; ``origin`` tells whether it
came from the environment or was made at the first start."""

hosts = Table(
    "hosts",
    metadata,
    Column("fingerprint", String(64), primary_key=True),
    Column("profile", JSON, nullable=False),
    Column("capabilities", JSON, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
)
"""Machines that anything was measured on: the hardware profile, and why a counter is missing."""

sources = Table(
    "telemetry_sources",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("identity", String(64), nullable=False, unique=True),
    Column("app", String(120), nullable=False, index=True),
    Column("service", Text),
    Column("revision", Text),
    Column("document_version", Text),
    Column("instance", Text),
    Column("host", Text),
    Column("hardware", Text),
    Column("aliases", Integer),
    Column("first_seen_at", BigInteger, nullable=False),
)
"""Who sends telemetry; one row for each combination. ``identity`` is the hash of the others."""

traces = Table(
    "traces",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("trace_id", LargeBinary(16), nullable=False, unique=True),
    Column("source_id", _Key, nullable=False),
    Column("version", Integer, nullable=False),
    Column("entered", Boolean, nullable=False),
    Column("last_seen_at", BigInteger, nullable=False),
    Column("settled", Integer, nullable=False),
    Column("start_ns", BigInteger),
    Column("duration_ns", BigInteger),
    Column("phase", String(8)),
    Column("query", String(16)),
    Column("error", Boolean),
    Column("complete", Boolean),
    Column("weight", Float),
    Index(
        "ix_traces_unsettled",
        "last_seen_at",
        sqlite_where=text("settled < version"),
        postgresql_where=text("settled < version"),
    ),
    Index("ix_traces_source_start", "source_id", "start_ns"),
)
"""One request, numbered in the order of arrival. ``version`` counts the times that spans were
added, ``settled`` is the version that its observations were made of: it is due while
``settled < version``."""

spans = Table(
    "spans",
    metadata,
    Column("trace", _Key, primary_key=True, autoincrement=False),
    Column("span_id", LargeBinary(8), primary_key=True),
    Column("parent_id", LargeBinary(8)),
    Column("entry", Boolean, nullable=False),
    Column("name", String(120), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("confidence", Float, nullable=False),
    Column("start_ns", BigInteger, nullable=False),
    Column("duration_ns", BigInteger),
    Column("error", Boolean, nullable=False),
    Column("facts", LargeBinary),
    Column("source_id", _Key, nullable=False),
    sqlite_with_rowid=False,
)
"""Spans, clustered by the ``id`` of their trace: trace ids are random, and rows in their order
would land all over the file. ``facts`` is compact JSON."""

observations = Table(
    "observations",
    metadata,
    Column("trace", _Key, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("source_id", _Key, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("phase", String(8)),
    Column("stage", String(16), nullable=False),
    Column("metric", String(80), nullable=False),
    Column("value", Float, nullable=False),
    Column("unit", String(16), nullable=False),
    Column("confidence", Float, nullable=False),
    Column("weight", Float, nullable=False),
    Index("ix_observations_source_at", "source_id", "at"),
    sqlite_with_rowid=False,
)
"""One measured value a row, clustered by trace and numbered in it; those of a trace are replaced
together when it settles again."""
