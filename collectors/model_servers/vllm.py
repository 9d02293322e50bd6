"""vLLM: ``/metrics``, and ``metrics`` in answers (``--enable-per-request-metrics``).

https://docs.vllm.ai/en/stable/usage/metrics/. Older names follow newer ones; while a server told
both, they were the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collectors.model_servers.answers import number, usage
from collectors.model_servers.exposition import Histogram, Window
from collectors.model_servers.observations import Durations, GenerationTiming, ServerStats

PREFIX = "vllm:"
KV_CACHE = ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")
HITS = ("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total")
QUERIES = ("vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total")
BETWEEN_TOKENS = ("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds")


def server_stats(window: Window) -> ServerStats:
    """What vLLM's pages tell."""
    computed = window.histogram("vllm:request_prefill_kv_computed_tokens")
    prefill = window.histogram("vllm:request_prefill_time_seconds")
    between = window.histogram(*BETWEEN_TOKENS)
    return ServerStats(
        server="vllm",
        seconds=window.seconds,
        running=window.gauge("vllm:num_requests_running"),
        waiting=window.gauge("vllm:num_requests_waiting"),
        kv_cache_usage=window.mean_gauge(*KV_CACHE),
        prefix_hit_rate=_over(window.counted(*HITS), window.counted(*QUERIES)),
        prompt_tokens=window.counted("vllm:prompt_tokens_total"),
        generated_tokens=window.counted("vllm:generation_tokens_total"),
        prefill_tokens_s=_over(_total(computed), _total(prefill)),
        decode_tokens_s=_over(between.count, between.total) if between is not None else None,
        ttft=_durations(window, "vllm:time_to_first_token_seconds"),
        queue=_durations(window, "vllm:request_queue_time_seconds"),
        end_to_end=_durations(window, "vllm:e2e_request_latency_seconds"),
    )


def generation_timing(answer: Mapping[str, Any]) -> GenerationTiming:
    """What an answer tells; in a stream, its last piece. Its "time to first token" starts when
    the request was scheduled: it is prefill."""
    return GenerationTiming(
        **usage(answer),
        queue_ms=number(answer, "metrics", "queue_time_ms"),
        prefill_ms=number(answer, "metrics", "time_to_first_token_ms"),
        decode_ms=number(answer, "metrics", "generation_time_ms"),
    )


def _durations(window: Window, name: str) -> Durations | None:
    found = window.histogram(name)
    return None if found is None else found.durations()


def _total(histogram: Histogram | None) -> float | None:
    return None if histogram is None else histogram.total


def _over(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None
