"""What the recorded pages and answers of the three servers tell."""

from __future__ import annotations

import json

import pytest

from collectors.model_servers import (
    GenerationTiming,
    ServerStats,
    generation_timing,
    server_stats,
)
from tests.collectors.model_servers.recorded import page, text


@pytest.fixture
def busy_minute() -> ServerStats:
    """200 requests on two engines, between two pages; slower ones before are not in it."""
    earlier, later = (
        page(f"vllm-0.32-{w}", "vllm", at) for w, at in (("earlier", 5), ("later", 65))
    )
    return server_stats(later, earlier)


def test_vllm_tells_load_and_cache(busy_minute: ServerStats) -> None:
    assert busy_minute.seconds == 60
    assert (busy_minute.running, busy_minute.waiting) == (4, 1)
    assert busy_minute.kv_cache_usage == pytest.approx(0.375)
    assert busy_minute.prefix_hit_rate == pytest.approx(0.64)
    assert busy_minute.prompt_tokens == 200 * 1000
    assert busy_minute.generated_tokens == 200 * 101


def test_vllm_tells_rates(busy_minute: ServerStats) -> None:
    """360 of 1000 prompt tokens were computed, in 59.8 ms on average; a token took 20 ms."""
    assert busy_minute.prefill_tokens_s == pytest.approx(360 / 0.0598, rel=1e-6)
    assert busy_minute.decode_tokens_s == pytest.approx(50, rel=1e-6)


def test_vllm_tells_durations_as_fine_as_its_buckets(busy_minute: ServerStats) -> None:
    """True quantiles of the time to first token: 73 and 282 ms, in buckets 60..80 and 250..500."""
    ttft, queue, end_to_end = busy_minute.ttft, busy_minute.queue, busy_minute.end_to_end
    assert ttft is not None
    assert queue is not None
    assert end_to_end is not None
    assert ttft.count == queue.count == end_to_end.count == 200
    assert ttft.mean_ms == pytest.approx(109.8, rel=1e-6)
    assert ttft.p50_ms == pytest.approx(73.2, abs=1)
    assert 250 < ttft.p95_ms < 500
    assert queue.mean_ms == pytest.approx(50)
    assert end_to_end.mean_ms == pytest.approx(2109.8, rel=1e-6)


def test_vllm_since_its_start_includes_the_slow_ones() -> None:
    stats = server_stats(page("vllm-0.32-later", "vllm"))
    assert stats.seconds is None
    assert stats.ttft is not None
    assert stats.ttft.count == 240
    assert stats.ttft.p95_ms > 2500


def test_a_restarted_vllm_tells_what_it_did_since() -> None:
    later, before = page("vllm-0.32-restarted", "vllm", 9.0), page("vllm-0.32-later", "vllm", 3.0)
    stats = server_stats(later, before)
    assert stats.seconds is None
    assert stats.prompt_tokens == 5000
    assert stats.ttft is not None
    assert stats.ttft.count == 10
    assert stats.prefix_hit_rate == 0


def test_an_older_vllm_is_read_by_its_names_and_does_not_tell_all() -> None:
    stats = server_stats(page("vllm-0.8", "vllm"))
    assert stats.kv_cache_usage == pytest.approx(0.375)
    assert stats.prefix_hit_rate == 0.25
    assert stats.decode_tokens_s == pytest.approx(25)
    assert stats.ttft is not None
    assert stats.ttft.p50_ms == pytest.approx(250 + 250 * 50 / 80)
    assert stats.prefill_tokens_s is None
    assert stats.queue is None


def test_llama_cpp_between_two_pages() -> None:
    earlier = page("llama-cpp-earlier", "llama.cpp", 0)
    assert server_stats(page("llama-cpp-later", "llama.cpp", 30), earlier) == ServerStats(
        server="llama.cpp",
        seconds=30,
        running=1,
        waiting=2,
        prefix_hit_rate=0.75,
        prompt_tokens=8000,
        generated_tokens=1600,
        prefill_tokens_s=500,
        decode_tokens_s=80,
    )


def test_an_older_llama_cpp_tells_its_cache_but_not_its_hits() -> None:
    stats = server_stats(page("llama-cpp-2024", "llama.cpp"))
    assert stats.kv_cache_usage == 0.25
    assert stats.prefix_hit_rate is None
    assert stats.prompt_tokens is None
    assert stats.prefill_tokens_s == pytest.approx(500)


def test_a_server_that_did_nothing_has_no_rates() -> None:
    same = (page("llama-cpp-later", "llama.cpp", at) for at in (2.0, 1.0))
    stats = server_stats(*same)
    assert stats.generated_tokens == 0
    assert stats.prefill_tokens_s is None
    assert stats.decode_tokens_s is None
    assert stats.prefix_hit_rate is None


def test_an_answer_of_vllm() -> None:
    timing = generation_timing("vllm", json.loads(text("vllm-answer.json")))
    assert timing == GenerationTiming(
        prompt_tokens=1200,
        cached_tokens=960,
        generated_tokens=101,
        queue_ms=7.5,
        prefill_ms=48.0,
        decode_ms=1600.0,
    )
    assert timing.prefill_tokens_s == pytest.approx(5000)
    assert timing.decode_tokens_s == pytest.approx(62.5)


def test_an_answer_without_timings_tells_its_tokens() -> None:
    answer = {
        "usage": {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": None},
        "metrics": None,
    }
    for server in ("vllm", "llama.cpp", "ollama"):
        timing = generation_timing(server, answer)
        assert timing == GenerationTiming(prompt_tokens=9, generated_tokens=4)
        assert timing.prefill_tokens_s is None
        assert timing.decode_tokens_s is None


def test_the_last_piece_of_an_ollama_stream() -> None:
    pieces = [json.loads(line) for line in text("ollama-stream.ndjson").splitlines()]
    timing = generation_timing("ollama", pieces[-1])
    assert timing == GenerationTiming(
        prompt_tokens=640,
        cached_tokens=512,
        generated_tokens=21,
        load_ms=900,
        prefill_ms=160,
        decode_ms=400,
        total_ms=1510,
    )
    assert timing.prefill_tokens_s == pytest.approx(800)
    assert timing.decode_tokens_s == pytest.approx(50)
    assert generation_timing("ollama", pieces[0]) == GenerationTiming()


def test_an_older_ollama_does_not_tell_what_was_cached() -> None:
    timing = generation_timing("ollama", json.loads(text("ollama-2024.json")))
    assert timing.prompt_tokens == 640
    assert timing.cached_tokens is None
    assert timing.prefill_tokens_s is None
    assert timing.decode_tokens_s == pytest.approx(50)


@pytest.mark.parametrize("server", ["vllm", "llama.cpp", "ollama"])
@pytest.mark.parametrize(
    "answer", [{}, {"usage": 3, "metrics": [], "timings": "x", "eval_count": True}]
)
def test_an_answer_that_tells_nothing(server: str, answer: dict[str, object]) -> None:
    assert generation_timing(server, answer) == GenerationTiming()


def test_one_token_has_no_rate_of_writing() -> None:
    assert GenerationTiming(generated_tokens=1, decode_ms=0.001).decode_tokens_s is None
