"""Work and traffic of the stages: counted by hand, and never an L×L matrix."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.analytic.intensity import (
    GEMMA_270M,
    MINILM,
    Encoder,
    Work,
    attention,
    bm25,
    decode,
    encode,
    flat_scan,
    hnsw,
    maxsim,
    pq_scan,
    prefill,
)

lengths = st.integers(1, 4096)


def test_attention_by_hand() -> None:
    """Two queries over three keys, four wide: 2·3 scores and 2·3 weighted sums of 4 products."""
    scores = weighted_sum = 2 * 3 * 4 * 2
    q = o = 2 * 4
    k = v = 3 * 4
    work = attention(2, 3, 4, 4, 4, 4)
    assert work == Work(scores + weighted_sum, 4 * (q + k + v + o))


@given(length=lengths)
def test_attention_moves_no_square_matrix(length: int) -> None:
    """Doubling the length doubles the bytes and quadruples the operations."""
    one = attention(length, length, 384, 384, 4, 4)
    two = attention(2 * length, 2 * length, 384, 384, 4, 4)
    assert two.bytes == 2 * one.bytes
    assert two.operations == 4 * one.operations
    assert two.intensity == pytest.approx(2 * one.intensity)


def test_shared_keys_and_values_move_less() -> None:
    assert attention(1, 100, 1024, 256, 4, 2).bytes == 2 * 1024 * 4 + 2 * 100 * 256 * 2


def test_an_encoder_layer_by_hand() -> None:
    model = Encoder(layers=1, hidden=2, ffn=3, weight_bytes=4)
    parameters = 4 * 2 * 2 + 2 * 2 * 3
    activations = 5 * ((2 + 3 * 2) + (2 + 2) + (2 + 3) + (3 + 2))
    linear = Work(2 * parameters * 5, 4 * (parameters + activations))
    assert encode(model, [5]) == linear + attention(5, 5, 2, 2, 4, 4)


def test_minilm_has_its_parameters() -> None:
    assert MINILM.layers * MINILM.layer_parameters == 10_616_832


@given(st.lists(lengths, min_size=1, max_size=5))
def test_windows_add_up(windows: list[int]) -> None:
    each = [encode(MINILM, [w]) for w in windows]
    whole = encode(MINILM, windows)
    assert whole.operations == pytest.approx(sum(w.operations for w in each))
    assert whole.bytes == pytest.approx(sum(w.bytes for w in each))


@given(length=st.integers(1, 2048))
def test_longer_texts_reuse_weights_more(length: int) -> None:
    assert encode(MINILM, [length + 1]).intensity > encode(MINILM, [length]).intensity


def test_the_generator_has_its_parameters_and_its_size() -> None:
    parameters = GEMMA_270M.layers * GEMMA_270M.layer_parameters + GEMMA_270M.output_parameters
    assert parameters == pytest.approx(268e6, rel=0.005)
    assert GEMMA_270M.weights == pytest.approx(253.1e6, rel=0.03)  # the file, with its vocabulary


@pytest.mark.parametrize("context", [1, 256, 8192])
def test_a_token_reads_all_weights_and_the_cache(context: int) -> None:
    work = decode(GEMMA_270M, context)
    cache = GEMMA_270M.layers * 2 * context * GEMMA_270M.kv_width * 2
    assert work.bytes == pytest.approx(GEMMA_270M.weights + cache, rel=0.01)
    assert work.operations > 2 * 268e6
    assert work.intensity < 10


def test_a_prompt_reads_the_weights_once() -> None:
    short, long = prefill(GEMMA_270M, 128), prefill(GEMMA_270M, 256)
    assert long.operations / short.operations > 1.4
    assert long.bytes < 1.6 * short.bytes
    assert long.intensity > short.intensity


def test_searches_by_hand() -> None:
    assert flat_scan(10, 384) == Work(7680, 15_360)
    assert pq_scan(10, 48) == Work(480, 240)
    assert hnsw(10, 384) == Work(7680, 15_400)
    assert bm25(10) == Work(10, 160)
    assert maxsim(12, 128, 384) == Work(2 * 12 * 128 * 384, 128 * 384 + 4 * 12 * 384)


def test_quantisation_moves_the_scan_towards_the_ridge() -> None:
    assert pq_scan(1, 48).intensity > flat_scan(1, 384).intensity > bm25(1).intensity
