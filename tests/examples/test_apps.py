"""The example apps answer, measure themselves, and send every question as a trace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import cycle
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.examples.running import APPS, run_app, telemetry_to

STAGES = {"embed", "retrieve", "rerank", "generate"}
TEXTS = {
    "nile": "Sudan and Egypt live on its water. The Nile ends in the Mediterranean Sea.",
    "danube": "Its source is in the Black Forest. The Danube ends in the Black Sea.",
    "amazon": "No other river carries more water. The Amazon ends in the Atlantic Ocean.",
    "volga": "It is the longest river of Europe. The Volga ends in the Caspian Sea.",
    "niger": "It turns south near Timbuktu. The Niger ends in the Gulf of Guinea.",
}
QUESTIONS = ("In which sea does the Nile end?", "In which sea does the Volga end?")
K, KEEP = 4, 2


@dataclass
class Listener:
    """Accepts whatever is posted to a loopback port."""

    requests: list[tuple[str, str | None, bytes]] = field(default_factory=list)
    url: str = ""


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    heard = Listener()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.requests.append((self.path, self.headers["Authorization"], body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        heard.url = f"http://127.0.0.1:{server.server_port}"
        yield heard
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The texts as a folder and as a file."""
    top = tmp_path_factory.mktemp("docs")
    (top / "rivers").mkdir()
    for (name, text), suffix in zip(TEXTS.items(), cycle((".txt", ".md")), strict=False):
        (top / "rivers" / f"{name}{suffix}").write_text(text, encoding="utf-8")
    rows = [{"id": id_, "title": id_.title(), "text": text} for id_, text in TEXTS.items()]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (top / "rivers.jsonl").write_text(lines, encoding="utf-8")
    return {"folder": top / "rivers", "file": top / "rivers.jsonl"}


@pytest.fixture(scope="module", params=APPS)
def told(
    request: pytest.FixtureRequest, docs: dict[str, Path], listener: Listener
) -> list[dict[str, Any]]:
    """What an app printed, while the listener heard its telemetry."""
    listener.requests.clear()
    surroundings = telemetry_to(
        listener.url, "a-key", service__name="rivers", autorag__revision="7"
    )
    corpus = docs["folder" if request.param == "langchain" else "file"]
    arguments = (*QUESTIONS, "--docs", corpus, "--k", K, "--keep", KEEP)
    return run_app(request.param, *arguments, environment=surroundings)


def test_every_question_is_answered_from_the_documents(told: list[dict[str, Any]]) -> None:
    assert [line["question"] for line in told] == list(QUESTIONS)
    assert "Mediterranean" in told[0]["answer"]
    assert "Caspian" in told[1]["answer"]


def test_an_app_times_its_stages(told: list[dict[str, Any]]) -> None:
    for line in told:
        stages = line["stages"]
        assert set(stages) == STAGES | {"total"}
        assert all(ms > 0 for ms in stages.values())
        assert stages["rerank"] + stages["generate"] + stages["retrieve"] <= stages["total"]
        assert stages["embed"] < stages["total"]
        assert 0 < line["first_token_ms"] <= stages["generate"]


def test_an_app_counts_what_passes_through_its_stages(told: list[dict[str, Any]]) -> None:
    for line in told:
        ids, counts = line["ids"], line["counts"]
        assert len(set(ids["retrieved"])) == counts["documents"] == K
        assert len(set(ids["reranked"])) == counts["reranked"] == KEEP
        assert set(ids["reranked"]) < set(ids["retrieved"])
        assert counts["total_tokens"] == counts["prompt_tokens"] + counts["completion_tokens"]
        assert counts["prompt_tokens"] > counts["completion_tokens"] > 0


def test_every_question_is_a_trace_sent_as_the_variables_say(
    told: list[dict[str, Any]], listener: Listener
) -> None:
    assert {(path, key) for path, key, _ in listener.requests} == {("/v1/traces", "Bearer a-key")}
    of_resources = [
        resource
        for _, _, body in listener.requests
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
    ]
    for sent in of_resources:
        attributes = {a.key: a.value.string_value for a in sent.resource.attributes}
        assert attributes.items() >= {"service.name": "rivers", "autorag.revision": "7"}.items()
    spans = [s for r in of_resources for scope in r.scope_spans for s in scope.spans]
    roots = {s.trace_id.hex() for s in spans if not s.parent_span_id and s.name == "question"}
    assert roots == {line["trace_id"] for line in told}
    ids = {s.span_id for s in spans}
    assert {s.parent_span_id for s in spans if s.parent_span_id} <= ids
    assert all(s.dropped_attributes_count == 0 for s in spans)


def test_with_no_endpoint_and_no_documents_an_app_still_answers() -> None:
    (line,) = run_app("langchain", "How do I copy a whole directory tree?")
    assert line["answer"].startswith("shutil.copytree")
    assert line["ids"]["reranked"][0].startswith("shutil.copytree#")
