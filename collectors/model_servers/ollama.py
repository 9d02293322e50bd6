"""Ollama: durations (nanoseconds) and counts in its answers. It has no page of metrics.

https://docs.ollama.com/api/usage. Older versions do not tell how many prompt tokens they found in
the cache, and time only the others: then the prefill rate is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collectors.model_servers.answers import number, usage
from collectors.model_servers.observations import GenerationTiming

NS_PER_MS = 1e6


def generation_timing(answer: Mapping[str, Any]) -> GenerationTiming:
    """What an answer tells; in a stream, its last piece (``done``)."""
    if number(answer, "prompt_eval_count") is None and "usage" in answer:
        return GenerationTiming(**usage(answer))
    return GenerationTiming(
        prompt_tokens=number(answer, "prompt_eval_count"),
        cached_tokens=number(answer, "prompt_eval_cached_count"),
        generated_tokens=number(answer, "eval_count"),
        load_ms=_ms(answer, "load_duration"),
        prefill_ms=_ms(answer, "prompt_eval_duration"),
        decode_ms=_ms(answer, "eval_duration"),
        total_ms=_ms(answer, "total_duration"),
    )


def _ms(answer: Mapping[str, Any], key: str) -> float | None:
    value = number(answer, key)
    return None if value is None else value / NS_PER_MS
