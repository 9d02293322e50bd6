"""The tables, as SQLAlchemy Core. Times are integers: seconds since the epoch, or ``_ns``.

Keys and studies go with their app without a foreign key: SQLite cannot add one to a table that is
there, and to copy the table would delete what refers to it.

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

apps = Table(
    "apps",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("name", String(120), nullable=False, unique=True),
    Column("space", JSON),
    Column("objective", Text, nullable=False),
    Column("policy", String(8), nullable=False),
    Column("webhook", Text),
    Column("docs", Text),
    Column("queries", Text),
    Column("evaluator", Text),
    Column("features", JSON),
    Column("hardware", String(64)),
    Column("frozen", Boolean, nullable=False),
    Column("revision", Integer),
    Column("settings", JSON, nullable=False),
    Column("pending", JSON, nullable=False),
    Column("built", JSON, nullable=False),
    Column("settings_version", Integer, nullable=False),
    Column("root", String(64)),
    Column("documents_version", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
"""Registered apps. ``space`` is the declaration of its knobs (NULL: all of the reference pipeline);
``revision`` the active one. ``settings`` is what is delivered now, ``pending`` what the active
revision wants besides and why it waits, ``built`` the values of knobs that need a restart or a
rebuild as the app has them; ``settings_version`` counts the changes of what is delivered.
``root`` is the Merkle root of the app's documents."""

revisions = Table(
    "revisions",
    metadata,
    Column("app_id", _Key, ForeignKey("apps.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("config", JSON, nullable=False),
    Column("delivered", JSON),
    Column("state", String(16), nullable=False),
    Column("origin", String(16), nullable=False),
    Column("reason", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("activated_at", BigInteger),
    Column("ended_at", BigInteger),
)
"""What an app was or is to run with: proposed, active or superseded. ``delivered`` is what of
``config`` it got."""

acks = Table(
    "acks",
    metadata,
    Column("app_id", _Key, ForeignKey("apps.id", ondelete="CASCADE"), primary_key=True),
    Column("instance", String(120), primary_key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("state", String(8), nullable=False),
    Column("values", JSON, nullable=False),
    Column("mismatched", JSON, nullable=False),
    Column("error", Text),
    Column("received_at", BigInteger),
    Column("applied_at", BigInteger),
    Column("failed_at", BigInteger),
)
"""What an instance did with a revision: received, applied or failed, with the values that it read
back and those that are not what was delivered."""

documents = Table(
    "documents",
    metadata,
    Column("app_id", _Key, ForeignKey("apps.id", ondelete="CASCADE"), primary_key=True),
    Column("document", Text, primary_key=True),
    Column("content_hash", String(128), nullable=False),
    sqlite_with_rowid=False,
)
"""The manifest of an app's documents."""

suggestions = Table(
    "suggestions",
    metadata,
    Column("trial_id", _Key, ForeignKey("trials.id", ondelete="CASCADE"), primary_key=True),
    Column("app_id", _Key, ForeignKey("apps.id", ondelete="CASCADE"), nullable=False),
    Column("client", String(120), nullable=False),
    Column("pending", Boolean, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index("ix_suggestions_app_client", "app_id", "client"),
)
"""Trials that an app measures itself, and the client that was asked to."""

answers = Table(
    "answers",
    metadata,
    Column("caller", String(64), primary_key=True),
    Column("key", String(256), primary_key=True),
    Column("request", String(64), nullable=False),
    Column("status", Integer, nullable=False),
    Column("headers", JSON, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index("ix_answers_created_at", "created_at"),
)
"""Answers to requests that had an idempotency key, written in the transaction of what they did.
``caller`` is the hash of the bearer key, ``request`` that of method, path and body."""

jobs = Table(
    "jobs",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("app_id", _Key, ForeignKey("apps.id", ondelete="CASCADE")),
    Column("arguments", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("live", String(160), unique=True),
    Column("attempts", Integer, nullable=False),
    Column("most_attempts", Integer, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("lease", String(64)),
    Column("lease_until", BigInteger),
    Column("cancelling", Boolean, nullable=False),
    Column("progress", JSON),
    Column("result", JSON),
    Column("error", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("ended_at", BigInteger),
    Index("ix_jobs_state_due_at", "state", "due_at"),
    sqlite_autoincrement=True,
)
"""Background work. ``state`` is queued, running, done, cancelled or dead. ``live`` is kind and app
while it is queued or running, NULL after, so that there is one at a time. Who holds ``lease`` runs
it until ``lease_until``; after that anybody may."""

schedules = Table(
    "schedules",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("app_id", _Key, ForeignKey("apps.id", ondelete="CASCADE")),
    Column("arguments", JSON, nullable=False),
    Column("cron", String(120), nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("next_at", BigInteger, nullable=False),
    Column("last_at", BigInteger),
    Column("last_job", _Key),
    Column("created_at", BigInteger, nullable=False),
    Index("ix_schedules_next_at", "next_at"),
    sqlite_autoincrement=True,
)
"""When jobs are begun by themselves; times are UTC."""

models = Table(
    "models",
    metadata,
    Column("version", _Key, primary_key=True),
    Column("sha256", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("about", JSON, nullable=False),
    Column("verdict", JSON, nullable=False),
    Column("replaced", _Key),
    Column("created_at", BigInteger, nullable=False),
    Column("promoted_at", BigInteger),
    Column("archived_at", BigInteger),
    Index(
        "uq_models_production",
        "state",
        unique=True,
        sqlite_where=text("state = 'production'"),
        postgresql_where=text("state = 'production'"),
    ),
    sqlite_autoincrement=True,
)
"""Sets of trained models. ``sha256`` is that of the file; ``state`` is candidate, archived, or
production, which one at most is; ``verdict`` says whether a set may be promoted and why;
``replaced`` is the version that was in production before, 0 for the set that ships."""

model_files = Table(
    "model_files",
    metadata,
    Column("version", _Key, ForeignKey("models.version", ondelete="CASCADE"), primary_key=True),
    Column("content", LargeBinary, nullable=False),
)
"""The files of sets of models."""

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
    Column("app_id", _Key, index=True),
)
"""One search on one workload, for a registered app or for nobody. ``identity`` is equal for studies
that would be the same, so that an unfinished one is found again; ``state`` is running or finished,
abandoned when nobody went on with it while its per-query results were kept, or deleted with its
app, whose it no longer is, until a prune deletes it."""

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
"""One config measured on one side (``split``: search or report) of a study's queries. ``reason``
says why it did not finish; while it runs, who runs it, if anybody alone may end it."""

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
    Column("app_id", _Key, index=True),
    Column("scopes", JSON),
    Column("label", String(120)),
)
"""Bearer keys, as SHA-256 of what the caller holds. ``scope`` is admin or app; an app's key opens
``app_id`` for its ``scopes``. ``origin`` tells whether it came from the environment, was made at
the first start, or over HTTP."""

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

rollups = Table(
    "rollups",
    metadata,
    Column("app", String(120), primary_key=True),
    Column("hour", BigInteger, primary_key=True, autoincrement=False),
    Column("revision", String(120), primary_key=True),
    Column("phase", String(8), primary_key=True),
    Column("stage", String(16), primary_key=True),
    Column("metric", String(80), primary_key=True),
    Column("histogram", LargeBinary, nullable=False),
    Index("ix_rollups_hour", "hour"),
    sqlite_with_rowid=False,
)
"""Observations older than is kept, as mergeable histograms of an hour that begins at ``hour``
(seconds since the epoch). An unknown revision or phase is the empty string."""
