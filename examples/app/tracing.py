"""Traces of an app of one's own: a span a question, and below it one for each stage.

Who sends is told by the resource. As the revision is part of it, there is a tracer for each; all of
them send through one exporter.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Tracer

NS_PER_MS = 1e6


class Tracing:
    """Sends the spans of one instance of an app."""

    def __init__(self, url: str, key: str, app: str, instance: str) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        exporter = OTLPSpanExporter(endpoint=f"{url.rstrip('/')}/v1/traces", headers=headers)
        self._sending = BatchSpanProcessor(exporter)
        self._who = {"service.name": app, "autorag.app": app, "service.instance.id": instance}
        self._tracers: dict[int | None, Tracer] = {}

    def tracer(self, revision: int | None) -> Tracer:
        """For questions that are answered with the settings of this revision."""
        if revision not in self._tracers:
            self._tracers = {revision: self._made(revision)}
        return self._tracers[revision]

    def close(self) -> None:
        """Send the last spans."""
        self._sending.shutdown()

    def _made(self, revision: int | None) -> Tracer:
        known = {} if revision is None else {"autorag.revision": str(revision)}
        provider = TracerProvider(
            resource=Resource.create({**self._who, **known}),
            shutdown_on_exit=False,
            span_limits=SpanLimits(max_span_attributes=4096),
        )
        provider.add_span_processor(self._sending)
        return provider.get_tracer("examples")


def stage_spans(
    tracer: Tracer,
    started_ns: int,
    stage_ms: Mapping[str, float],
    contexts: Sequence[Mapping[str, Any]],
) -> None:
    """Spans of stages that followed one another, from the milliseconds that each took."""
    ranked = json.dumps([{"id": c["doc"], "score": c["score"]} for c in contexts])
    for stage, ms in stage_ms.items():
        more = {"gen_ai.retrieval.documents": ranked} if stage == "retrieve" else {}
        span = tracer.start_span(
            stage, start_time=started_ns, attributes={"autorag.stage": stage, **more}
        )
        started_ns += int(ms * NS_PER_MS)
        span.end(started_ns)
