"""OTLP over HTTP, spoken to the real service as exporters speak it."""

from __future__ import annotations

import gzip
import platform
import zlib
from collections.abc import Callable, Iterator

import httpx2
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collectors.otlp.body import JSON, PROTOBUF
from tests.api.exports import (
    CONTENT,
    QUESTION,
    SPANS,
    START_NS,
    a_trace,
    body,
    encoded,
    export,
    observed,
    refusal,
    request,
    stored,
    told,
    traces_body,
)
from tests.api.serving import Serving, bare_command, error_file, serving

TYPES = (PROTOBUF, JSON)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(bare_command(tmp_path_factory.mktemp("ingest"))) as running:
        yield running


@pytest.fixture(scope="module")
def client(service: Serving) -> Iterator[httpx2.Client]:
    with service.client() as client:
        yield client


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("identity", bytes),
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
    ],
)
def test_spans_are_on_disk_before_the_answer(
    service: Serving,
    client: httpx2.Client,
    type_: str,
    encoding: str,
    encode: Callable[[bytes], bytes],
) -> None:
    name = f"{type_} {encoding}"
    content = encode(body(a_trace(name), type_))
    assert told(export(client, content, type_, content_encoding=encoding)) == (0, "")
    assert stored(service, name) == SPANS


@pytest.mark.parametrize("type_", ["application/json; charset=utf-8", "Application/X-Protobuf"])
def test_parameters_and_case_of_the_type_do_not_matter(client: httpx2.Client, type_: str) -> None:
    plain = JSON if "json" in type_ else PROTOBUF
    response = export(client, body(a_trace(type_), plain), type_)
    assert told(response) == (0, "")
    assert response.headers["content-type"] == plain


def test_an_empty_export_is_fine(client: httpx2.Client) -> None:
    assert told(export(client, b"")) == (0, "")
    assert told(export(client, b"{}", JSON)) == (0, "")


def test_a_trace_becomes_observations(service: Serving, client: httpx2.Client) -> None:
    export(client, traces_body(["values"]))
    values = {(stage, metric): v for _, _, _, stage, metric, v, *_ in observed(service, "values")}
    assert values["request", "duration_ms"] == 100.0
    assert values["request", "query_chars"] == len(QUESTION)
    assert values["retrieve", "duration_ms"] == 30.0
    assert values["retrieve", "self_ms"] == 20.0
    assert values["retrieve", "documents"] == 3
    assert values["rerank", "duration_ms"] == 8.0
    assert values["generate", "prompt_tokens"] == 400
    assert values["generate", "completion_tokens"] == 60
    assert {at for _, at, *_ in observed(service, "values")} == {START_NS // 10**9}


def test_who_sent_it_is_kept(service: Serving, client: httpx2.Client) -> None:
    resource = {
        "service__name": "told",
        "autorag__app": "named",
        "autorag__revision": "7",
        "autorag__document_version": "d1",
        "service__instance__id": "i1",
        "host__name": platform.node(),
        "autorag__hardware": "f00d",
    }
    export(client, encoded(request(a_trace("source"), **resource)))
    query = (
        "SELECT app, service, revision, document_version, instance, host, hardware "
        "FROM telemetry_sources WHERE instance = 'i1'"
    )
    row = ("_unassigned", "named", "7", "d1", "i1", platform.node(), "f00d")
    assert service.telemetry(query) == [row]


@pytest.mark.parametrize("type_", TYPES)
def test_without_a_key_nothing_is_taken(service: Serving, type_: str) -> None:
    for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": service.key}):
        headers = {"Content-Type": type_, **header}
        response = httpx2.post(
            f"{service.url}/v1/traces", content=body(a_trace("no key"), type_), headers=headers
        )
        status, code, message = refusal(response)
        assert (status, code) == (401, 16)
        assert "key" in message
        assert response.headers["content-type"] == type_
        assert response.headers["www-authenticate"] == "Bearer"
    assert stored(service, "no key") == 0


@pytest.mark.parametrize(
    ("type_", "content", "encoding"),
    [
        (PROTOBUF, b"\xff\xff\xff", "identity"),
        (PROTOBUF, body(a_trace("cut"))[:-7], "identity"),
        (PROTOBUF, body(a_trace("json"), JSON), "identity"),
        (PROTOBUF, b"this is not gzip", "gzip"),
        (PROTOBUF, gzip.compress(b"something long enough to be cut")[:-9], "gzip"),
        (JSON, b"{", "identity"),
        (JSON, b"[]", "identity"),
        (JSON, b"\xff", "identity"),
        (JSON, b'{"resourceSpans": 3}', "identity"),
    ],
    ids=range(9),
)
def test_a_body_that_cannot_be_read_is_refused(
    client: httpx2.Client, type_: str, content: bytes, encoding: str
) -> None:
    response = export(client, content, type_, content_encoding=encoding)
    status, code, message = refusal(response)
    assert (status, code) == (400, 3)
    assert message
    assert response.headers["content-type"] == type_


@pytest.mark.parametrize("type_", ["text/plain", "application/grpc", ""])
def test_another_type_is_refused(client: httpx2.Client, type_: str) -> None:
    status, code, message = refusal(export(client, b"", type_))
    assert (status, code) == (415, 3)
    assert PROTOBUF in message
    assert JSON in message


def test_another_encoding_is_refused(client: httpx2.Client) -> None:
    response = export(client, b"", content_encoding="br")
    status, _, message = refusal(response)
    assert status == 415
    assert "'br'" in message
    assert response.headers["accept-encoding"] == "gzip, deflate"
    assert response.headers["content-type"] == PROTOBUF


@pytest.mark.parametrize("type_", TYPES)
def test_good_spans_beside_bad_ones_are_kept(
    service: Serving, client: httpx2.Client, type_: str
) -> None:
    name = f"partly {type_}"
    spans = a_trace(name)
    bad = [Span(trace_id=b"short", span_id=b"x" * 8, start_time_unix_nano=1), Span()]
    rejected, message = told(export(client, body([bad[0], *spans, bad[1]], type_), type_))
    assert rejected == 2
    assert "trace id" in message
    assert stored(service, name) == SPANS


def test_dropped_attributes_are_answered_with_advice(
    service: Serving, client: httpx2.Client
) -> None:
    for type_ in TYPES:
        spans = a_trace(f"dropped {type_}")
        spans[1].dropped_attributes_count = 37
        rejected, message = told(export(client, body(spans, type_), type_))
        assert rejected == 0
        assert "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT" in message
    for type_ in TYPES:
        rows = observed(service, f"dropped {type_}")
        assert {metric: v for _, _, _, _, metric, v, *_ in rows}["dropped_attributes"] == 37


def test_a_judgement_that_comes_as_a_log_record_belongs_to_its_trace(
    service: Serving, client: httpx2.Client
) -> None:
    export(client, traces_body(["judged"]))
    logs = ExportLogsServiceRequest()
    model = a_trace("judged")[-1]
    record = (
        logs.resource_logs.add()
        .scope_logs.add()
        .log_records.add(
            trace_id=model.trace_id,
            span_id=model.span_id,
            event_name="gen_ai.evaluation.result",
            time_unix_nano=START_NS,
        )
    )
    record.attributes.add(key="gen_ai.evaluation.name").value.string_value = "faithful"
    record.attributes.add(key="gen_ai.evaluation.score.value").value.double_value = 0.75
    headers = {"Content-Type": PROTOBUF}
    response = client.post("/v1/logs", content=logs.SerializeToString(), headers=headers)
    assert response.status_code == 200
    assert ExportLogsServiceResponse.FromString(response.content) == ExportLogsServiceResponse()
    found = {(stage, metric): v for _, _, _, stage, metric, v, *_ in observed(service, "judged")}
    assert found["generate", "quality.faithful"] == 0.75


def test_metrics_are_accepted(client: httpx2.Client) -> None:
    headers = {"Content-Type": PROTOBUF}
    content = ExportMetricsServiceRequest().SerializeToString()
    response = client.post("/v1/metrics", content=content, headers=headers)
    assert response.status_code == 200
    ExportMetricsServiceResponse.FromString(response.content)


def test_no_text_is_kept_or_logged(service: Serving, client: httpx2.Client) -> None:
    export(client, traces_body(["private"]))
    bad = Span(name=CONTENT, trace_id=b"short")
    assert QUESTION not in told(export(client, body([bad])))[1]
    service.wait_until_settled()
    files = [*service.home.iterdir(), error_file(service.home)]
    assert {"autorag.db", "autorag-telemetry.db"} <= {f.name for f in files}
    for file in files:
        kept = file.read_bytes()
        for text in (QUESTION, CONTENT, "secret", "passage"):
            assert text.encode() not in kept, file.name


def test_nothing_of_all_this_was_an_error_of_the_service(service: Serving) -> None:
    lines = service.said().splitlines()
    assert [li for li in lines if "ERROR" in li or "Traceback" in li] == []
