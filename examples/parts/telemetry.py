"""OpenTelemetry, set up as in any app; nothing here depends on who receives it.

The standard variables say where spans go and who sends them: ``OTEL_EXPORTER_OTLP_ENDPOINT``,
``OTEL_EXPORTER_OTLP_HEADERS``, ``OTEL_SERVICE_NAME``, ``OTEL_RESOURCE_ATTRIBUTES``.
"""

import os

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

DEFAULTS = {
    # A retrieved passage is up to four attributes. Above 128 the SDK drops the oldest: the best.
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "4096",
    # Vectors are bulky: those of a few thousand passages make a request that receivers refuse.
    "OPENINFERENCE_HIDE_EMBEDDINGS_VECTORS": "true",
}


def set_up_tracing() -> TracerProvider:
    """Spans are sent in the background; with no endpoint they go nowhere."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    provider = TracerProvider()
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider
