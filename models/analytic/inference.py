"""Models at work: a query or documents through an embedder, pairs through a reranker, a prompt.

*minilm-int8* is what the profile times, at three lengths. Seconds of a window are interpolated
between them and extended below the shortest; there the weights are read once however short the
text, so that a token never costs less than at 32. *minilm* on torch does the same arithmetic and
pays for its calls. *e5-small-q4* unpacks its weights for every token, whatever the length, and its
attention grows with it. The static embedder and LSA tokenise and look up; LSA's vectoriser walks
through its whole vocabulary for every text that it is asked.

A cross-encoder's pairs are counted as operations (``intensity.encode``) at the speed that torch
attains of the machine's matrix products. The generator reads its prompt at the profile's rate,
scaled by the work a token has at that length (attention counts Q, K, V and O, never the square),
and writes tokens at the speed at which weights and the key-value cache are read.
The constants of time come from random words on a 2.4 GHz Zen 3.

Every function is about one model; arrays are ``(k,)``, a row for each config that uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from autorag.hardware import PAIR_TOKENS, PROMPT_TOKENS
from autorag.pipeline.embedders import LSA_WORDS
from autorag.pipeline.transformer import MAX_TOKENS, MINILM_DIM, SPECIAL
from models.analytic import intensity
from models.analytic.columns import Floats, Numbers
from models.analytic.intensity import GEMMA_270M, MINILM, Encoder
from models.analytic.machine import Machine, Operator

PROFILED = {32: "embed_32", 128: "embed_128", 256: "embed_512"}
"""Length of a window → the figure it is in; texts of 512 tokens are two windows."""

TORCH_CALL_S = 13e-3
TORCH_EFFICIENCY = 0.7
"""Share of the matrix products' speed that torch attains for encoders of full windows."""

E5_OPERATIONS, E5_LENGTH, E5_PREFIX = 2.1e8, 300.0, 4
"""A token costs as much as so many operations of a matrix product, twice that at so many tokens;
the prefix that says query or passage and the special tokens are read too."""

STATIC_CALL_TOKENS, STATIC_ALONE = 85.0, 2.2
"""What one text costs beside its tokens, in tokens of the bulk rate; how much slower they are."""

STATIC_LINES = 1100
LSA_CALL_S, LSA_WORD_S, LSA_LINES = 0.5e-3, 0.6e-6, 1500
LSA_RATE = 0.15
"""LSA's rate for documents, the fit included, over the static embedder's."""

TEXT_TOKENS = 25.0
"""What a document costs the static embedder beside its tokens."""

PAIR_S, PAIR_LINES = 60e-6, 300
PAIR_COLD = 3.4
"""How much slower a pair is in a query than in the profile's loop: its token vectors come from
memory, and the arrays they are unpacked into are new."""

GENERATOR_CALL_S = 10e-3
GENERATOR_TOKENS = 1.05
"""Tokens of the generator for one that chunks are counted in."""

PROMPT_FRAME_TOKENS = 12
"""Beside the passages; the examples before them are the same for every query and kept."""

WEIGHT_BYTES: Mapping[str, float] = {
    "static": 0.1e6,
    "lsa": 3e6,
    "minilm-int8": MINILM.layers * MINILM.layer_parameters * MINILM.weight_bytes,
    "minilm": MINILM.layers * MINILM.layer_parameters * MINILM.weight_bytes,
    "e5-small-q4": 12e6,
}
"""What a query through an embedder touches."""


@dataclass(frozen=True, slots=True)
class CrossEncoder:
    """A cross-encoder that is not in the package: its shape, its weights, what it reads at once."""

    encoder: Encoder
    weights_bytes: float
    max_tokens: int = 512


def query_vector(
    model: str, tokens: float, vocabulary: float, threads: Floats, machine: Machine
) -> Operator:
    """One query through an embedder; ``tokens`` without special ones."""
    if model == "static":
        seconds = (STATIC_CALL_TOKENS + STATIC_ALONE * tokens) / machine.rate("static_tokens_s")
        return Operator(seconds, STATIC_LINES)
    if model == "lsa":
        return Operator(LSA_CALL_S + LSA_WORD_S * min(LSA_WORDS, vocabulary), LSA_LINES)
    return Operator(_text_s(model, tokens, threads, machine))


def documents_s(model: str, tokens: Floats, count: Floats, machine: Machine) -> Floats:
    """Seconds of embedding ``count`` texts of so many tokens, on all cores."""
    if model in ("static", "lsa"):
        share = 1.0 if model == "static" else LSA_RATE
        return count * (tokens + TEXT_TOKENS) / (share * machine.rate("static_tokens_s"))
    if model == "minilm":
        pieces, length = windows(tokens)
        work = intensity.window(MINILM, np.ceil(length)).times(pieces * count)
        return work.operations / (TORCH_EFFICIENCY * 1e9 * machine.rate("gemm_f32_all_gflops"))
    return count * _text_s(model, tokens, machine.cores, machine)


def windows(tokens: Numbers) -> tuple[Floats, Floats]:
    """How many windows a text is split into, and the length of one, special tokens included."""
    pieces = np.maximum(1.0, np.ceil(tokens / (MAX_TOKENS - SPECIAL)))
    return pieces, tokens / pieces + SPECIAL


def late_interaction(
    pairs: Floats, query_tokens: float, chunk_tokens: Floats, machine: Machine
) -> Operator:
    """Scoring pairs of a query that is encoded and chunks whose token vectors are cached."""
    asked, held = PAIR_TOKENS
    profiled = intensity.maxsim(asked, held, MINILM_DIM)
    work = intensity.maxsim(np.ceil(query_tokens), np.ceil(chunk_tokens), MINILM_DIM)
    unpacked = chunk_tokens / held
    share = 0.5 * unpacked + 0.5 * work.operations / profiled.operations
    each = share / machine.rate("maxsim_pairs_s")
    lines = PAIR_LINES + pairs * (PAIR_COLD - 1) * each / machine.miss_s
    return Operator(PAIR_S + pairs * each, lines)


def cross_encoding(
    model: CrossEncoder,
    pairs: Floats,
    query_tokens: float,
    chunk_tokens: Floats,
    threads: Floats,
    machine: Machine,
) -> Operator:
    """Scoring pairs read together; a chunk that does not fit is read in pieces."""
    room = max(1.0, model.max_tokens - query_tokens - 3)
    pieces = np.maximum(1.0, np.ceil(chunk_tokens / room))
    length = np.ceil(chunk_tokens / pieces + query_tokens + 3)
    work = intensity.window(model.encoder, length).times(pieces * pairs)
    speed = TORCH_EFFICIENCY * machine.flops * machine.speedup("gemm_f32", "gflops", threads)
    return Operator(TORCH_CALL_S + work.operations / speed, scanned=model.weights_bytes)


def prompt_s(
    context_tokens: Floats, query_tokens: float, threads: Floats, machine: Machine
) -> Floats:
    """Seconds to the first token of an answer."""
    tokens = GENERATOR_TOKENS * (context_tokens + query_tokens) + PROMPT_FRAME_TOKENS
    profiled = intensity.prefill(GEMMA_270M, PROMPT_TOKENS)
    work = intensity.prefill(GEMMA_270M, np.ceil(tokens))
    rate = machine.rate("prefill_one_tokens_s") / PROMPT_TOKENS * profiled.operations
    speed = rate * machine.speedup("prefill", "tokens_s", threads)
    return GENERATOR_CALL_S + work.operations / speed


def token_s(context_tokens: Floats, threads: Floats, machine: Machine) -> Floats:
    """Seconds of writing one token after a prompt with such contexts."""
    profiled = intensity.decode(GEMMA_270M, PROMPT_TOKENS)
    work = intensity.decode(GEMMA_270M, np.ceil(GENERATOR_TOKENS * context_tokens))
    rate = machine.rate("decode_one_tokens_s") * machine.speedup("decode", "tokens_s", threads)
    return work.bytes / profiled.bytes / rate


def _text_s(model: str, tokens: Numbers, threads: Numbers, machine: Machine) -> Floats:
    """One text through a transformer."""
    if model == "e5-small-q4":
        length = tokens + E5_PREFIX
        operations = E5_OPERATIONS * length * (1 + length / E5_LENGTH)
        return operations / (machine.flops * machine.speedup("gemm_f32", "gflops", threads))
    pieces, length = windows(tokens)
    seconds = pieces * _window_s(length, threads, machine)
    return seconds if model == "minilm-int8" else seconds + TORCH_CALL_S


def _window_s(length: Numbers, threads: Numbers, machine: Machine) -> Floats:
    """One window through MiniLM; needs no figures but those around its length."""
    short, middle, long = PROFILED
    length, threads = np.broadcast_arrays(length, threads)
    seconds = np.empty(length.shape)
    for rows, left, right in ((length <= middle, short, middle), (length > middle, middle, long)):
        if rows.any():
            seconds[rows] = _between(left, right, length[rows], threads[rows], machine)
    rows = length < short
    if rows.any():
        shortest = length[rows] / _tokens_s(short, threads[rows], machine)
        seconds[rows] = np.maximum(seconds[rows], shortest)
    return seconds


def _between(left: int, right: int, length: Floats, threads: Floats, machine: Machine) -> Floats:
    """One window on the line through those of two profiled lengths."""
    first, last = (n / _tokens_s(n, threads, machine) for n in (left, right))
    return first + (last - first) * (length - left) / (right - left)


def _tokens_s(length: int, threads: Floats, machine: Machine) -> Floats:
    stem = PROFILED[length]
    return machine.rate(f"{stem}_one_tokens_s") * machine.speedup(stem, "tokens_s", threads)
