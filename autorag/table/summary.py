"""What is in a measured table, in a few figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autorag.table.files import table_hash

if TYPE_CHECKING:
    import polars


def summary(frame: polars.DataFrame) -> dict[str, Any]:
    """Rows, workloads, configs, hours of asking and of building, and the hash."""
    return {
        "rows": len(frame),
        "workloads": frame["workload"].n_unique(),
        "configs": frame.select("workload", "part", "config").n_unique(),
        "hours": float(frame["query_s"].sum()) / 3600,
        "hash": table_hash(frame),
        "noise": {},
    }
