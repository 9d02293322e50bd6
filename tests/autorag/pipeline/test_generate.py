"""Generation: the packaged model for real, and any endpoint over real HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from autorag.errors import InputError, MeasurementError
from autorag.pipeline.artifacts import ArtifactStore
from autorag.pipeline.generate import (
    LOCAL,
    REMOTE,
    CachedGenerator,
    Endpoint,
    Generator,
    build_prompt,
    gemma_file,
    generators,
    load_generator,
)

PASSAGE = "The old lighthouse at Skarvik was lit in 1872. Its lamp burned paraffin."


@dataclass
class Remote:
    """A server's answers, and what it was asked."""

    lines: list[str]
    status: int = 200
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""


def handler(remote: Remote) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            remote.asked.append({"path": self.path, **json.loads(body)})
            remote.headers.append(dict(self.headers))
            self.send_response(remote.status)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self.wfile.write("".join(f"{line}\n\n" for line in remote.lines).encode())

        def log_message(self, *args: Any) -> None:
            pass

    return Handler


def streamed(*pieces: str) -> list[str]:
    rows = [json.dumps({"choices": [{"text": p}]}) for p in pieces]
    return [*(f"data: {r}" for r in rows), 'data: {"choices": []}', "data: [DONE]"]


@pytest.fixture
def remote() -> Iterator[Remote]:
    """A server on loopback that streams ``Egypt``."""
    state = Remote(streamed(" ", "Egy", "pt"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler(state)) as server:
        state.url = f"http://127.0.0.1:{server.server_port}/v1"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield state
        server.shutdown()
        thread.join()


def test_the_prompt_holds_question_and_contexts_in_order() -> None:
    prompt = build_prompt("Where?", ["first\n\npassage", "second"])
    assert prompt.endswith("Passage: first passage\nPassage: second\nQuestion: Where?\nAnswer:")


def test_an_endpoint_is_asked_and_its_pieces_are_joined(remote: Remote) -> None:
    answer = Endpoint(remote.url + "/", "small", "secret").complete("Q:", 7)
    assert answer.text == "Egypt"
    assert 0 < answer.ttft_ms <= answer.total_ms
    (asked,) = remote.asked
    assert asked["path"] == "/v1/completions"
    assert (asked["model"], asked["prompt"], asked["max_tokens"]) == ("small", "Q:", 7)
    assert (asked["temperature"], asked["stop"], asked["stream"]) == (0, ["\n"], True)
    assert remote.headers[0]["Authorization"] == "Bearer secret"


def test_an_empty_answer_is_an_answer(remote: Remote) -> None:
    remote.lines = streamed()
    assert Endpoint(remote.url, "small").complete("Q:", 7).text == ""


def test_an_error_status_names_the_generator_and_the_reason(remote: Remote) -> None:
    remote.status, remote.lines = 503, ["model is loading"]
    with pytest.raises(MeasurementError, match=r"127\.0\.0\.1.*503.*model is loading"):
        Endpoint(remote.url, "small").complete("Q:", 7)


@pytest.mark.parametrize(
    "line", ["data: {not json", 'data: {"error": "full"}', 'data: {"choices": [7]}']
)
def test_a_malformed_stream_is_a_measurement_error(remote: Remote, line: str) -> None:
    remote.lines = [line]
    with pytest.raises(MeasurementError, match="generator http"):
        Endpoint(remote.url, "small").complete("Q:", 7)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/v1", "nonsense", "http://[bad/v1"])
def test_an_unreachable_endpoint_is_a_measurement_error(url: str) -> None:
    with pytest.raises(MeasurementError, match="generator"):
        Endpoint(url, "small").complete("Q:", 7)


def test_an_equal_prompt_is_asked_once(remote: Remote, store: ArtifactStore) -> None:
    cached = CachedGenerator(Endpoint(remote.url, "small"), store)
    first = cached.complete("Q:", 7)
    assert cached.complete("Q:", 7) == first
    assert CachedGenerator(Endpoint(remote.url, "small"), store).complete("Q:", 7) == first
    assert len(remote.asked) == 1


def test_another_prompt_length_or_model_is_asked_again(
    remote: Remote, store: ArtifactStore
) -> None:
    for model, prompt, length in (("a", "p", 7), ("b", "p", 7), ("a", "q", 7), ("a", "p", 8)):
        CachedGenerator(Endpoint(remote.url, model), store).complete(prompt, length)
    assert len(remote.asked) == 4


def test_an_error_is_not_remembered(remote: Remote, store: ArtifactStore) -> None:
    cached = CachedGenerator(Endpoint(remote.url, "small"), store)
    remote.status = 500
    with pytest.raises(MeasurementError):
        cached.complete("Q:", 7)
    remote.status = 200
    assert cached.complete("Q:", 7).text == "Egypt"


def test_the_endpoint_comes_from_the_environment(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTORAG_GENERATOR_URL", remote.url)
    monkeypatch.setenv("AUTORAG_GENERATOR_MODEL", "named")
    assert generators()[-1] == REMOTE
    assert load_generator(REMOTE, tmp_path, 1).complete("Q:", 7).text == "Egypt"
    assert remote.asked[0]["model"] == "named"


def test_without_an_address_the_endpoint_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AUTORAG_GENERATOR_URL", raising=False)
    assert REMOTE not in generators()
    with pytest.raises(InputError, match="AUTORAG_GENERATOR_URL"):
        load_generator(REMOTE, tmp_path, 1)


@pytest.fixture(scope="module")
def gemma(models: Path) -> Generator:
    if LOCAL not in generators():
        pytest.skip("the local generator is not installed")
    return load_generator(LOCAL, models, 2)


def test_the_local_model_answers_from_a_passage(gemma: Generator) -> None:
    answer = gemma.complete(build_prompt("When was the lighthouse lit?", [PASSAGE]), 16)
    assert "1872" in answer.text
    assert "\n" not in answer.text
    assert 0 < answer.ttft_ms <= answer.total_ms


def test_the_local_model_is_deterministic(gemma: Generator) -> None:
    prompt = build_prompt("What did the lamp burn?", [PASSAGE])
    assert gemma.complete(prompt, 16).text == gemma.complete(prompt, 16).text


def test_max_tokens_limits_the_answer(gemma: Generator) -> None:
    prompt = "Count in words: one two three four five six seven"
    short, long = gemma.complete(prompt, 2).text, gemma.complete(prompt, 24).text
    assert long.startswith(short)
    assert len(short.split()) <= 2 < len(long.split())


def test_the_local_model_generates_an_equal_prompt_once(
    gemma: Generator, store: ArtifactStore
) -> None:
    cached = CachedGenerator(gemma, store)
    prompt = build_prompt("When was the lighthouse lit?", [PASSAGE])
    first = cached.complete(prompt, 16)
    kept = store.names("generate")
    assert len(kept) == 1
    assert cached.complete(prompt, 16) == first
    assert store.names("generate") == kept


@pytest.mark.slow
def test_the_longest_prompt_of_the_space_is_answered(gemma: Generator) -> None:
    """Twenty contexts of 1024 tokens are a valid config."""
    contexts = [" ".join(["tea"] * 1020)] * 20
    assert gemma.complete(build_prompt("What is it?", contexts), 2).total_ms > 0


@pytest.mark.slow
def test_a_pause_as_long_as_the_servers_keep_alive_does_no_harm(gemma: Generator) -> None:
    """llama.cpp closes an idle connection after five seconds."""
    prompt = build_prompt("When was the lighthouse lit?", [PASSAGE])
    for pause in (4.99, 5.0, 5.01):
        gemma.complete(prompt, 2)
        time.sleep(pause)
        assert gemma.complete(prompt, 2).total_ms > 0


def test_the_model_file_is_made_once(gemma: Generator, models: Path) -> None:
    file = gemma_file(models)
    written = file.stat().st_mtime_ns
    assert gemma_file(models).stat().st_mtime_ns == written
    assert gemma.weights_bytes == file.stat().st_size
