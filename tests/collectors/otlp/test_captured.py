"""Requests that real instrumentations sent, against what one reads in them by eye.

They lie in the folder ``otlp`` beside the workloads. Durations are differences of the times that
stand in the spans; counts are those of their attributes.
"""

from __future__ import annotations

import os
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from autorag.telemetry import REQUEST, Span, Trace
from collectors.otlp.body import JSON, PROTOBUF
from collectors.otlp.normalise import text_hash
from collectors.otlp.receive import Received, receive_metrics, receive_traces
from collectors.otlp.settle import settle
from tests.collectors.otlp.spans import kept, source_of

pytestmark = pytest.mark.workloads

WORKLOADS = os.environ.get("AUTORAG_WORKLOADS")
FOLDER = Path(WORKLOADS).parent / "otlp" if WORKLOADS else Path("none")

Stages = dict[str, dict[str, float]]


def stage(
    ms: float, self_ms: float | None = None, calls: int = 1, **facts: float
) -> dict[str, float]:
    alone = ms if self_ms is None else self_ms
    return {"duration_ms": ms, "self_ms": alone, "calls": calls, "errors": 0, **facts}


def whole(ms: float, spans: int, **facts: float) -> dict[str, float]:
    return {"duration_ms": ms, "spans": spans, "errors": 0, **facts}


PROMPTS = [
    "ctx [Document(id='d0', metadata={'source': 'f0.pdf'}, page_content='doc 0 text'), "
    "Document(id='d4', metadata={'source': 'f4.pdf'}, page_content='doc 4 text')]\nq what is x?",
    "ctx [Document(id='d2', metadata={'source': 'f2.pdf'}, page_content='doc 2 text'), "
    "Document(id='d1', metadata={'source': 'f1.pdf'}, page_content='doc 1 text')]\nq what is y?",
]
TOKENS = {"prompt_tokens": 42, "completion_tokens": 5}

EXPECTED: dict[str, list[tuple[str | None, str | None, Stages]]] = {
    "traces_haystack_openinference": [
        (
            "query",
            "x",
            {
                "retrieve": stage(0.569286, documents=3),
                "rerank": stage(0.298098, input_documents=3, documents=2),
                "generate": stage(
                    0.159269,
                    prompt_tokens=12,
                    completion_tokens=3,
                    prompt_chars=len("doc number 2 about xdoc number 1 about x x?"),
                ),
                REQUEST: whole(223.088417, 5, query_chars=1),
            },
        )
    ],
    "traces_langchain_openinference": [
        (
            "query",
            "what is x?",
            {
                "retrieve": stage(0.503808, documents=3),
                "rerank": stage(0.25984, input_documents=3, documents=2),
                "generate": stage(0.856064, prompt_chars=len(PROMPTS[0]), **TOKENS),
                REQUEST: whole(10.854144, 9, query_chars=10),
            },
        ),
        (
            "query",
            "what is y?",
            {
                "retrieve": stage(0.390912, documents=3),
                "rerank": stage(0.61312, input_documents=3, documents=2),
                "generate": stage(0.80512, prompt_chars=len(PROMPTS[1])),
                REQUEST: whole(6.317824, 9, query_chars=10),
            },
        ),
    ],
    "traces_langchain_openllmetry": [
        (
            "query",
            "what is x?",
            {
                "retrieve": stage(1.48441, documents=3),
                "rerank": stage(0.424678, input_documents=3, documents=2),
                "generate": stage(0.677227, **TOKENS),
                REQUEST: whole(13.924649, 9, query_chars=10),
            },
        ),
        (
            "query",
            "what is y?",
            {
                "retrieve": stage(0.417467, documents=3),
                "rerank": stage(3.818887, documents=2),
                "generate": stage(0.752781),
                REQUEST: whole(9.713332, 9, query_chars=10),
            },
        ),
    ],
    "traces_langchain_otel_genai": [
        (
            "query",
            "what is x?",
            {"retrieve": stage(6.03691, documents=3), REQUEST: whole(17.834633, 2, query_chars=10)},
        ),
        (
            "query",
            "what is y?",
            {"retrieve": stage(0.876106, documents=3), REQUEST: whole(7.480639, 2, query_chars=10)},
        ),
    ],
    "traces_llamaindex_otel_genai": [
        (
            "query",
            None,
            {"retrieve": stage(0.948936, top_k=3), REQUEST: whole(0.948936, 1)},
        )
    ],
    "traces_llamaindex_openinference_k3": [
        ("build", None, {"chunk": stage(497.541253), REQUEST: whole(497.541253, 7)}),
        (
            "build",
            None,
            {"embed": stage(8.857326, texts=15, text_chars=2975), REQUEST: whole(8.857326, 16)},
        ),
        (
            "query",
            "what is x?",
            {
                "embed": stage(0.373191, texts=1, text_chars=len("what is x?")),
                "retrieve": stage(5.9049, 5.9049 - 0.373191, documents=3),
                "generate": stage(1.517299),
                REQUEST: whole(12.062551, 15, query_chars=10),
            },
        ),
    ],
    "traces_python_json_exporter": [
        (
            "query",
            None,
            {"generate": stage(0.021822, prompt_tokens=42), REQUEST: whole(0.021822, 1)},
        )
    ],
}
"""Phase, question and stages of the traces of each request, in the order of time."""

PAYLOADS = [
    pytest.param(name, suffix, id=name + suffix)
    for name in EXPECTED
    for suffix in (".pb", ".pb.gz", ".json")
    if (FOLDER / (name + suffix)).exists()
] or [pytest.param("", "", marks=pytest.mark.skip("no captured requests beside the workloads"))]


@cache
def payload(name: str, suffix: str) -> Received:
    wire = (FOLDER / (name + suffix)).read_bytes()
    encoding = "gzip" if suffix.endswith(".gz") else None
    return receive_traces(wire, encoding, JSON if suffix == ".json" else PROTOBUF, source_of)


def settled(found: Received) -> list[Trace]:
    by_trace: dict[bytes, list[Span]] = defaultdict(list)
    for span in kept(found):
        by_trace[span.trace_id].append(span)
    traces = [settle(id_, spans, cut=False) for id_, spans in by_trace.items()]
    return sorted(traces, key=lambda t: t.start_ns)


def told(trace: Trace) -> Stages:
    found: Stages = defaultdict(dict)
    for observation in trace.observations:
        found[observation.stage][observation.metric] = observation.value
    return found


@pytest.mark.parametrize(("name", "suffix"), PAYLOADS)
def test_a_captured_request_is_what_one_reads_in_it(name: str, suffix: str) -> None:
    found = payload(name, suffix)
    assert (found.rejected, found.message) == (0, "")
    traces = settled(found)
    assert len(traces) == len(EXPECTED[name])
    for trace, (phase, question, stages) in zip(traces, EXPECTED[name], strict=True):
        observed = told(trace)
        assert set(observed) == set(stages)
        for stage_, metrics in stages.items():
            assert observed[stage_] == pytest.approx(metrics, abs=1e-9)
        assert trace.phase == phase
        assert trace.query == (text_hash(question) if question is not None else None)
        assert (trace.complete, trace.error, trace.weight) == (True, False, 1.0)


@pytest.mark.parametrize(("name", "suffix"), PAYLOADS)
def test_every_encoding_of_a_captured_request_says_the_same(name: str, suffix: str) -> None:
    assert payload(name, suffix) == payload(name, ".json")


def documents_of(name: str, suffix: str, kind: str) -> list[Any]:
    spans = sorted(kept(payload(name, suffix)), key=lambda s: s.start_ns)
    return [s.facts["ids"] for s in spans if s.kind == kind and "ids" in s.facts]


@pytest.mark.parametrize(("name", "suffix"), PAYLOADS)
def test_documents_have_the_ids_that_were_sent(name: str, suffix: str) -> None:
    hay = ("366792ede4921d12", "b6201dfbcf03bdb1", "eb176f96a10bdf27")
    hashes = {n: text_hash(f"doc {n} text") for n in range(5)}
    expected: dict[str, tuple[Any, Any]] = {
        "traces_haystack_openinference": ([[*hay]], [[hay[2], hay[1]]]),
        "traces_langchain_openinference": (
            [["d1", "d4", "d0"], ["d4", "d1", "d2"]],
            [["d0", "d4"], ["d2", "d1"]],
        ),
        "traces_langchain_openllmetry": (
            [[hashes[1], hashes[4], hashes[0]], [hashes[4], hashes[1], hashes[2]]],
            [["d0", "d4"], ["d2", "d1"]],
        ),
        "traces_langchain_otel_genai": ([["d1", "d4", "d0"], ["d4", "d1", "d2"]], []),
        "traces_llamaindex_openinference_k3": (
            [["c8446745-fd3b-40af-919b-36819596420b", "e1226a5a-fe3a-4360-bd56-c24219a492a8",
              "e4d3da2c-ec34-4eda-a242-ffbe1239c4a8"]],
            [],
        ),
    }  # fmt: skip
    retrieved, reranked = expected.get(name, ([], []))
    short = 16 if "haystack" in name else 64
    cut = [[i[:short] for i in ids] for ids in documents_of(name, suffix, "retrieve")]
    assert cut == retrieved
    assert [[i[:short] for i in ids] for ids in documents_of(name, suffix, "rerank")] == reranked


@pytest.mark.parametrize(("name", "suffix"), PAYLOADS)
def test_nothing_of_a_captured_request_is_kept_in_words(name: str, suffix: str) -> None:
    shown = repr(payload(name, suffix))
    for said in ("what is", "doc 1 text", "about x", "words and words", "hello from", "f1.pdf"):
        assert said not in shown


@pytest.mark.parametrize(("name", "suffix"), PAYLOADS)
def test_a_rerank_by_name_is_less_sure(name: str, suffix: str) -> None:
    sure = {s.kind: s.confidence for s in kept(payload(name, suffix))}
    expected = {
        "traces_haystack_openinference": 1.0,
        "traces_langchain_openinference": 0.6,
        "traces_langchain_openllmetry": 0.6,
    }
    assert sure.pop("rerank", None) == expected.get(name)
    assert sure.pop("chunk", None) == (0.6 if "llamaindex_openinference" in name else None)
    assert set(sure.values()) == {1.0}


@pytest.mark.parametrize(("name", "suffix"), PAYLOADS)
def test_the_sender_is_known_by_its_resource(name: str, suffix: str) -> None:
    (source, _), *_ = payload(name, suffix).batch
    services = {
        "haystack": "unknown_service:python",
        "llamaindex": "demo-li",
        "json": "unknown_service:python",
    }
    expected = next((s for word, s in services.items() if word in name), "demo-rag")
    assert source.service == expected


@pytest.mark.skipif(not FOLDER.exists(), reason="no captured requests beside the workloads")
def test_captured_metrics_are_counted() -> None:
    wire = (FOLDER / "metrics_genai.pb").read_bytes()
    assert receive_metrics(wire, None, PROTOBUF) == 4
