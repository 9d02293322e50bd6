"""What a model server tells about itself, in one form for all of them. None: it does not tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["vllm", "llama.cpp", "ollama"]


@dataclass(frozen=True, slots=True)
class Durations:
    """How long something took, over the requests of an interval.

    Quantiles come from histogram buckets: they are as fine as these, and no more than the highest
    finite bound, however long the longest took.
    """

    count: int
    mean_ms: float
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class ServerStats:
    """A server over an interval.

    Attributes:
        seconds: length of the interval; None for all the time since the server started.
        running: requests being worked on at its end; ``waiting``: those in the queue.
        kv_cache_usage: share of the KV cache in use at its end, 0..1.
        prefix_hit_rate: share of prompt tokens found in the cache, 0..1.
        prompt_tokens: of all requests, those found in the cache included.
        prefill_tokens_s: prompt tokens computed (not those found) a second of prefill.
        decode_tokens_s: of one request's stream, while it is written.
        ttft: from a request's arrival to its first token, the queue included.
        queue: what of it was waiting.
        end_to_end: from arrival to the last token.
    """

    server: Kind
    seconds: float | None
    running: float | None = None
    waiting: float | None = None
    kv_cache_usage: float | None = None
    prefix_hit_rate: float | None = None
    prompt_tokens: float | None = None
    generated_tokens: float | None = None
    prefill_tokens_s: float | None = None
    decode_tokens_s: float | None = None
    ttft: Durations | None = None
    queue: Durations | None = None
    end_to_end: Durations | None = None


@dataclass(frozen=True, slots=True)
class GenerationTiming:
    """One answer, as its server timed it.

    Attributes:
        prompt_tokens: those found in the cache included.
        cached_tokens: prompt tokens found in the cache.
        queue_ms: waiting before work began.
        load_ms: loading the model, where it is loaded on demand.
        prefill_ms: from the start of work on the prompt to the first token.
        decode_ms: from the first token to the last.
        total_ms: all of it.
    """

    prompt_tokens: float | None = None
    cached_tokens: float | None = None
    generated_tokens: float | None = None
    queue_ms: float | None = None
    load_ms: float | None = None
    prefill_ms: float | None = None
    decode_ms: float | None = None
    total_ms: float | None = None

    @property
    def prefill_tokens_s(self) -> float | None:
        """Prompt tokens computed a second; unknown where it is unknown how many were cached."""
        if self.prompt_tokens is None or self.cached_tokens is None:
            return None
        return rate(self.prompt_tokens - self.cached_tokens, self.prefill_ms)

    @property
    def decode_tokens_s(self) -> float | None:
        """Tokens a second after the first one, which prefill brought."""
        return (
            None
            if self.generated_tokens is None
            else rate(self.generated_tokens - 1, self.decode_ms)
        )


def rate(tokens: float, ms: float | None) -> float | None:
    """Tokens a second; None without tokens or time."""
    return tokens / ms * 1e3 if tokens > 0 and ms else None
