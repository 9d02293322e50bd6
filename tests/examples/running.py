"""Runs the example apps as their users do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "examples"
APPS = {
    "langchain": ("langchain_app.py",),
    "langchain-openllmetry": ("langchain_app.py", "--instrumentation", "openllmetry"),
    "llamaindex": ("llamaindex_app.py",),
    "haystack": ("haystack_app.py",),
}
FOREIGN = ("OTEL_", "OPENINFERENCE_", "TRACELOOP_", "OPENAI_", "LANGSMITH_", "HAYSTACK_")
"""Variables of the surroundings that would change what an app does."""


def telemetry_to(endpoint: str, key: str, **resource: str) -> dict[str, str]:
    """The standard variables that send an app's telemetry there, with resource attributes in which
    ``__`` stands for a dot."""
    attributes = ",".join(f"{k.replace('__', '.')}={v}" for k, v in resource.items())
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_HEADERS": f"Authorization=Bearer%20{key}",
        "OTEL_RESOURCE_ATTRIBUTES": attributes,
    }


def run_app(
    app: str, *arguments: object, environment: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    """Run one of :data:`APPS` to its end: the object it printed for every question. It must be
    quiet otherwise."""
    script, *options = APPS[app]
    own = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)}
    ended = subprocess.run(
        [sys.executable, str(FOLDER / script), *options, *map(str, arguments)],
        env={**own, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    return [json.loads(line) for line in ended.stdout.splitlines()]
