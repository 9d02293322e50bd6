"""llama.cpp's server: ``/metrics`` (started with ``--metrics``), and ``timings`` in answers.

https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md. Its gauges of tokens a
second are of the time since anybody last read the page, so rates come from the counters. They count
an answer's first token with the writing, though prefill brought it: for answers of n tokens
``decode_tokens_s`` is n / (n - 1) times too high. There are no histograms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collectors.model_servers.answers import number, usage
from collectors.model_servers.exposition import Window
from collectors.model_servers.observations import GenerationTiming, ServerStats

PREFIX = "llamacpp:"


def server_stats(window: Window) -> ServerStats:
    """What llama.cpp's pages tell. Older versions do not tell what they found in the cache, newer
    ones how full it is."""
    computed = window.counted("llamacpp:prompt_tokens_total")
    cached = window.counted("llamacpp:prompt_tokens_cached_total")
    generated = window.counted("llamacpp:tokens_predicted_total")
    prompt = None if computed is None or cached is None else computed + cached
    prefill_s = window.counted("llamacpp:prompt_seconds_total")
    decode_s = window.counted("llamacpp:tokens_predicted_seconds_total")
    return ServerStats(
        server="llama.cpp",
        seconds=window.seconds,
        running=window.gauge("llamacpp:requests_processing"),
        waiting=window.gauge("llamacpp:requests_deferred"),
        kv_cache_usage=window.gauge("llamacpp:kv_cache_usage_ratio"),
        prefix_hit_rate=cached / prompt if cached is not None and prompt else None,
        prompt_tokens=prompt,
        generated_tokens=generated,
        prefill_tokens_s=computed / prefill_s if computed is not None and prefill_s else None,
        decode_tokens_s=generated / decode_s if generated is not None and decode_s else None,
    )


def generation_timing(answer: Mapping[str, Any]) -> GenerationTiming:
    """What an answer tells; in a stream, its last piece."""
    computed = number(answer, "timings", "prompt_n")
    cached = number(answer, "timings", "cache_n")
    if computed is None or cached is None:
        return GenerationTiming(**usage(answer))
    return GenerationTiming(
        prompt_tokens=computed + cached,
        cached_tokens=cached,
        generated_tokens=number(answer, "timings", "predicted_n"),
        prefill_ms=number(answer, "timings", "prompt_ms"),
        decode_ms=number(answer, "timings", "predicted_ms"),
    )
