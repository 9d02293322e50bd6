"""Reading pages over real HTTP: from the real llama.cpp server, and from servers that fail."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest

from autorag.errors import InputError, MeasurementError
from autorag.pipeline.generate import LOCAL, gemma_file, generators
from collectors.model_servers import generation_timing, scrape, server_stats
from tests.collectors.model_servers.recorded import text

PROMPT = "Passage: The lighthouse at Skarvik was lit in 1872.\nQuestion: When?\nAnswer:"


@pytest.fixture(scope="module")
def client() -> Iterator[httpx2.Client]:
    with httpx2.Client(timeout=60.0) as opened:
        yield opened


def start_llama_cpp(models: Path, *, metrics: bool) -> Any:
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(gemma_file(models))
    parameters.n_ctx = 2048
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    parameters.verbosity = -1
    parameters.endpoint_metrics = metrics
    return xllamacpp.Server(parameters)


@pytest.fixture(scope="module")
def llama(models: Path) -> Iterator[str]:
    """The address of a real server with one slot."""
    if LOCAL not in generators():
        pytest.skip("the local generator is not installed")
    server = start_llama_cpp(models, metrics=True)
    yield server.listening_address
    del server


def complete(client: httpx2.Client, url: str, tokens: int) -> dict[str, Any]:
    body = {"prompt": PROMPT, "max_tokens": tokens, "temperature": 0, "ignore_eos": True}
    answer: dict[str, Any] = client.post(f"{url}/v1/completions", json=body).json()
    return answer


def test_llama_cpp_tells_what_it_was_asked(llama: str, client: httpx2.Client) -> None:
    complete(client, llama, 2)
    before = scrape(llama, "llama.cpp", client)
    timings = [generation_timing("llama.cpp", complete(client, llama, n)) for n in (4, 12, 20)]
    stats = server_stats(scrape(llama + "/", "llama.cpp", client), before)

    assert [t.generated_tokens for t in timings] == [4, 12, 20]
    assert stats.generated_tokens == 36
    assert stats.prompt_tokens == sum(t.prompt_tokens or 0 for t in timings)
    assert timings[0].prompt_tokens == timings[1].prompt_tokens
    assert all(t.cached_tokens for t in timings)
    assert stats.prefix_hit_rate == pytest.approx(
        sum(t.cached_tokens or 0 for t in timings) / stats.prompt_tokens
    )
    assert (stats.running, stats.waiting) == (0, 0)
    assert stats.seconds is not None
    decode_ms = sum(t.decode_ms or 0 for t in timings)
    assert stats.decode_tokens_s == pytest.approx(36 / decode_ms * 1e3, rel=0.05)
    prefill_ms = sum(t.prefill_ms or 0 for t in timings)
    computed = stats.prompt_tokens * (1 - stats.prefix_hit_rate)
    assert stats.prefill_tokens_s == pytest.approx(computed / prefill_ms * 1e3, rel=0.25)
    assert (decode_ms + prefill_ms) / 1e3 <= stats.seconds


def test_llama_cpps_own_rates_are_ours(llama: str, client: httpx2.Client) -> None:
    answer = complete(client, llama, 16)
    timing = generation_timing("llama.cpp", answer)
    assert timing.decode_tokens_s == pytest.approx(answer["timings"]["predicted_per_second"])
    assert timing.prefill_tokens_s == pytest.approx(answer["timings"]["prompt_per_second"])
    assert timing.prompt_tokens == answer["usage"]["prompt_tokens"]


def test_llama_cpp_tells_its_queue(llama: str, client: httpx2.Client) -> None:
    asked = [threading.Thread(target=complete, args=(client, llama, 50)) for _ in range(3)]
    for thread in asked:
        thread.start()
    seen = eventually(lambda: queue(llama, client) == (1, 2))
    for thread in asked:
        thread.join()
    assert seen
    assert queue(llama, client) == (0, 0)


def queue(url: str, client: httpx2.Client) -> tuple[float | None, float | None]:
    stats = server_stats(scrape(url, "llama.cpp", client))
    return stats.running, stats.waiting


def eventually(holds: Callable[[], bool], seconds: float = 20.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if holds():
            return True
        time.sleep(0.01)
    return False


def test_llama_cpp_without_metrics_says_how_to_start_it(
    models: Path, client: httpx2.Client
) -> None:
    if LOCAL not in generators():
        pytest.skip("the local generator is not installed")
    server = start_llama_cpp(models, metrics=False)
    with pytest.raises(MeasurementError, match=r"llama\.cpp http://.*501.*--metrics"):
        scrape(server.listening_address, "llama.cpp", client)


@contextmanager
def serving(status: int, body: str, pause_s: float = 0.0) -> Iterator[str]:
    """A server that gives one answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(pause_s)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_page_of_vllm_over_http(client: httpx2.Client) -> None:
    with serving(200, text("vllm-0.32-later.txt")) as url:
        stats = server_stats(scrape(url, "vllm", client))
    assert stats.server == "vllm"
    assert stats.prompt_tokens == 236_000


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (503, "model is loading", "503: model is loading"),
        (200, "<html>welcome</html>", "not a page of metrics"),
        (200, "# TYPE other gauge\nother 1\n", "no metric vllm:"),
        (200, "", "no metric vllm:"),
    ],
)
def test_what_is_not_vllm_is_told(client: httpx2.Client, status: int, body: str, told: str) -> None:
    with serving(status, body) as url, pytest.raises(MeasurementError, match=told) as caught:
        scrape(url, "vllm", client)
    assert f"vllm {url}/metrics" in str(caught.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "nonsense", "http://[bad"])
def test_an_unreachable_server_is_told(client: httpx2.Client, url: str) -> None:
    with pytest.raises(MeasurementError, match="vllm"):
        scrape(url, "vllm", client)


def test_a_server_that_does_not_answer_is_not_waited_for(
    client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collectors.model_servers.servers.TIMEOUT_S", 0.05)
    with serving(200, "", pause_s=0.5) as url, pytest.raises(MeasurementError, match="timed out"):
        scrape(url, "vllm", client)


def test_ollama_has_no_page(client: httpx2.Client) -> None:
    with pytest.raises(InputError, match="ollama has no page"):
        scrape("http://127.0.0.1:11434", "ollama", client)
