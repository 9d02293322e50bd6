"""The local generator's rates: time to the first token, reading a prompt, writing an answer.

Prompts are random tokens, each another one, and the server keeps nothing of the last: no prefix is
reused. llama.cpp's own timings tell reading from writing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from autorag.errors import MeasurementError
from autorag.hardware import PROMPT_TOKENS
from autorag.pipeline.generate import LlamaCpp, gemma_file
from autorag.pipeline.packages import GEMMA
from collectors.hardware.job import OUT_OF_TIME
from collectors.hardware.pipeline_rates import lacks
from collectors.hardware.sampling import Probe, Sampling, Setting, repeated

ANSWER_TOKENS = 32
REPEATS = 5
WORD_TOKENS = (1_000, 200_000)
"""Ids of ordinary tokens in the packaged model's vocabulary."""

SLOWEST_S = 10.0
"""An answer that takes longer is given up: llama.cpp's threads wait for each other in loops, and
where other work holds one of their cores an answer takes fifty times as long."""

SEED = 0


@dataclass(frozen=True, slots=True)
class Timing:
    """One completion: milliseconds to the first token, tokens a second read and written."""

    ttft_ms: float
    prefill_tokens_s: float
    decode_tokens_s: float


class TimedLlamaCpp(LlamaCpp):
    """The pipeline's generator, asked for an answer of a fixed length to a prompt of token ids."""

    def timed(self, prompt: list[int], tokens: int) -> Timing:
        body = {
            "prompt": prompt,
            "max_tokens": tokens,
            "ignore_eos": True,
            "cache_prompt": False,
            "temperature": 0,
            "stream": True,
        }
        started = time.perf_counter()
        first: float | None = None
        timings: dict[str, float] = {}
        with self._client.stream("POST", self._url, json=body) as response:
            for line in response.iter_lines():
                if line.startswith("data: {"):
                    first = first or time.perf_counter()
                    timings = json.loads(line[6:]).get("timings", timings)
                if time.perf_counter() - started > SLOWEST_S:
                    raise TimeoutError(f"{OUT_OF_TIME} {SLOWEST_S:g} s: {tokens} tokens")
        if first is None or not timings:
            raise MeasurementError("llama.cpp answered without tokens or timings")
        return Timing(
            (first - started) * 1e3, timings["prompt_per_second"], timings["predicted_per_second"]
        )


def generator(setting: Setting) -> Iterator[Sampling]:
    """Completions of ``ANSWER_TOKENS`` tokens to prompts of ``PROMPT_TOKENS``."""
    model = TimedLlamaCpp(gemma_file(setting.models), setting.threads)
    rng = np.random.default_rng(SEED)
    repeats = min(REPEATS, setting.effort.repeats)
    ttft, prefill, decode = figures(setting.span)

    def once(prompt_tokens: int, answer_tokens: int) -> Timing:
        prompt = rng.integers(*WORD_TOKENS, prompt_tokens).tolist()
        return model.timed(prompt, answer_tokens)

    def take() -> dict[str, list[float]]:
        times = repeated(lambda: once(PROMPT_TOKENS, ANSWER_TOKENS), repeats)
        return {
            ttft: [t.ttft_ms for t in times],
            prefill: [t.prefill_tokens_s for t in times],
            decode: [t.decode_tokens_s for t in times],
        }

    once(PROMPT_TOKENS // 8, 2)
    yield Sampling(take, f"gemma3-270m, {PROMPT_TOKENS} + {ANSWER_TOKENS} tokens")


def figures(span: str) -> tuple[str, str, str]:
    return f"ttft_{span}_ms", f"prefill_{span}_tokens_s", f"decode_{span}_tokens_s"


def probe(span: str) -> Probe:
    return Probe("generator", figures(span), generator, lacks("xllamacpp", GEMMA, "httpx2"))
