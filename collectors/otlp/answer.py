"""What the sender of telemetry is told, in the content type that it spoke.

A request that was read is answered with 200, also when some records had to be rejected (partial
success: sending them again would not help) or when there is advice (none rejected, but a message).
A request that could not be read is answered with ``google.rpc.Status``. Senders try again after
429, 502, 503 and 504 only. https://opentelemetry.io/docs/specs/otlp/#otlphttp-response
"""

from __future__ import annotations

import json
from typing import Literal

from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from collectors.otlp.body import JSON, PROTOBUF

Signal = Literal["traces", "logs", "metrics"]

CODES = {
    400: 3,
    401: 16,
    403: 7,
    404: 5,
    405: 12,
    413: 8,
    415: 3,
    429: 8,
    500: 13,
    503: 14,
}
"""HTTP status → ``google.rpc.Code``."""


def success(signal: Signal, type_: str, rejected: int = 0, message: str = "") -> bytes:
    """The body of a 200."""
    if type_ == JSON:
        return _json_success(signal, rejected, message)
    if signal == "metrics":
        return bytes(ExportMetricsServiceResponse().SerializeToString())
    if signal == "logs":
        logs = ExportLogsServiceResponse()
        if rejected or message:
            logs.partial_success.CopyFrom(
                ExportLogsPartialSuccess(rejected_log_records=rejected, error_message=message)
            )
        return bytes(logs.SerializeToString())
    traces = ExportTraceServiceResponse()
    if rejected or message:
        traces.partial_success.CopyFrom(
            ExportTracePartialSuccess(rejected_spans=rejected, error_message=message)
        )
    return bytes(traces.SerializeToString())


def failure(status: int, message: str, type_: str) -> bytes:
    """The body of an HTTP error."""
    code = CODES[status]
    if type_ == PROTOBUF:
        return bytes(Status(code=code, message=message).SerializeToString())
    return json.dumps({"code": code, "message": message}).encode()


def _json_success(signal: Signal, rejected: int, message: str) -> bytes:
    if signal == "metrics" or not (rejected or message):
        return b"{}"
    count = "rejectedSpans" if signal == "traces" else "rejectedLogRecords"
    told = {count: str(rejected), "errorMessage": message}
    return json.dumps({"partialSuccess": told}).encode()
