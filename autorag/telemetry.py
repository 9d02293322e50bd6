"""What a running app tells about itself: spans, and the observations that a trace settles into.

A *span* is one timed operation of one request, already named in the language of the stages: its
kind is a stage of :data:`autorag.stages.STAGES` or one of :data:`OTHER_KINDS`. A *trace* is all
spans of one request. An *observation* is one measured value of one stage of one trace. What is not
known is absent, never 0. Texts are not kept: only their lengths and hashes are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

UNASSIGNED = "_unassigned"
"""The app of telemetry from nobody known."""

REQUEST = "request"
"""The stage of observations about a whole request."""

OTHER_KINDS = ("prompt", "tool", "agent", "guardrail", "evaluation", "chain", "other")
"""Kinds of spans that are no stage: building a prompt is not generating."""

Phase = Literal["query", "build"]
"""Answering a request, or preparing documents."""


@dataclass(frozen=True, slots=True)
class Source:
    """Who sent telemetry, and what it ran. None is unknown.

    Attributes:
        app: the registered app, or :data:`UNASSIGNED`.
        service: the name that it gave itself.
        revision: of the settings it ran with.
        document_version: of the documents it had.
        instance: one process of the app.
        host: name of its machine.
        hardware: fingerprint of that machine's hardware profile.
        aliases: version of the table that its spans were understood by.
    """

    app: str
    service: str | None = None
    revision: str | None = None
    document_version: str | None = None
    instance: str | None = None
    host: str | None = None
    hardware: str | None = None
    aliases: int | None = None


class Span(NamedTuple):
    """One span. (A tuple, because tens of thousands are made a second.)

    Attributes:
        trace_id: 16 bytes.
        span_id: 8 bytes.
        parent_id: 8 bytes, None for a root.
        entry: nothing of this app is above it: no parent, or one in another process.
        confidence: how sure ``kind`` is: 1 where the app said so, less where a name suggests it.
        start_ns: since the epoch.
        duration_ns: None where start and end contradict each other.
        error: the operation failed.
        facts: what is known beyond times: counts, lengths, hashes, ids; see
            :mod:`collectors.otlp.normalise`.
    """

    trace_id: bytes
    span_id: bytes
    parent_id: bytes | None
    entry: bool
    name: str
    kind: str
    confidence: float
    start_ns: int
    duration_ns: int | None
    error: bool
    facts: Mapping[str, Any]


class Observation(NamedTuple):
    """One measured value of one trace. (A tuple, as spans are.)

    Attributes:
        at: seconds since the epoch, when the stage began.
        phase: None for a value that belongs to neither.
        stage: a stage, or :data:`REQUEST`.
        metric: a name that holds its unit where it has one (``duration_ms``, ``prompt_tokens``).
        confidence: that of the stage's spans, the least of them.
        weight: requests that this one stands for, where the app samples its traces.
    """

    at: int
    phase: Phase | None
    stage: str
    metric: str
    value: float
    unit: str
    confidence: float = 1.0
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace that settled.

    Attributes:
        start_ns: of its first span.
        duration_ns: of its entry span, None while that was not seen.
        query: hash of the question, to tell repeated ones; None where no question was seen.
        error: the request failed.
        complete: an entry span was seen, and every span's parent.
    """

    trace_id: bytes
    start_ns: int
    duration_ns: int | None
    phase: Phase | None
    query: str | None
    error: bool
    complete: bool
    weight: float
    observations: Sequence[Observation]
