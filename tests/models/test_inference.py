"""Models at work: the profile's figures are met, lengths and threads count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.analytic.inference import (
    CrossEncoder,
    cross_encoding,
    documents_s,
    late_interaction,
    prompt_s,
    query_vector,
    token_s,
    windows,
)
from models.analytic.intensity import MINILM
from models.analytic.machine import Machine
from tests.autorag.machines import VALUES, profile

MACHINE = Machine(profile())
MODELS = ("static", "lsa", "minilm-int8", "minilm", "e5-small-q4")
SPECIAL = 2

models = st.sampled_from(MODELS)
lengths = st.floats(1, 500)


def seconds(model: str, tokens: float, threads: int = 1) -> float:
    step = query_vector(model, tokens, 5000, np.array([threads]), MACHINE)
    return step.seconds(MACHINE, np.zeros(1)).item()


@pytest.mark.parametrize("length", [32, 128])
def test_a_query_as_long_as_the_profiles_takes_as_long(length: int) -> None:
    expected = length / VALUES[f"embed_{length}_one_tokens_s"]
    assert seconds("minilm-int8", length - SPECIAL) == pytest.approx(expected)
    every = length / VALUES[f"embed_{length}_all_tokens_s"]
    assert seconds("minilm-int8", length - SPECIAL, threads=2) == pytest.approx(every)


def test_two_windows_take_as_long_as_the_profiles() -> None:
    expected = 512 / VALUES["embed_512_one_tokens_s"]
    assert seconds("minilm-int8", 512 - 2 * SPECIAL) == pytest.approx(expected)


def test_short_queries_read_the_weights_too() -> None:
    assert seconds("minilm-int8", 4) > seconds("minilm-int8", 30) * 6 / 32


@given(models, lengths)
def test_longer_texts_take_longer(model: str, tokens: float) -> None:
    assert seconds(model, 1.5 * tokens) >= seconds(model, tokens) > 0


@given(models, lengths)
def test_another_thread_never_hurts(model: str, tokens: float) -> None:
    assert seconds(model, tokens, threads=2) <= seconds(model, tokens)


@given(lengths)
def test_embedders_keep_their_order(tokens: float) -> None:
    order = [seconds(m, tokens) for m in ("static", "minilm-int8", "minilm", "e5-small-q4")]
    assert order[:3] == sorted(order[:3])


def test_windows_are_those_of_the_encoder() -> None:
    assert windows(0) == (1, 2)
    assert windows(254) == (1, 256)
    assert windows(300) == (2, 152)


@pytest.mark.parametrize("model", MODELS)
def test_twice_the_documents_take_twice_as_long(model: str) -> None:
    one, two = documents_s(model, np.full(2, 100.0), np.array([1000.0, 2000.0]), MACHINE)
    assert two == pytest.approx(2 * one)


@given(st.sampled_from(MODELS), st.lists(lengths, min_size=2, max_size=5))
def test_texts_of_any_lengths_are_priced_together(model: str, tokens: list[float]) -> None:
    together = documents_s(model, np.array(tokens), np.ones(len(tokens)), MACHINE)
    apart = [documents_s(model, np.array([t]), np.ones(1), MACHINE).item() for t in tokens]
    assert together == pytest.approx(apart, rel=1e-12)


def test_documents_are_embedded_on_all_cores() -> None:
    expected = 1000 * 128 / VALUES["embed_128_all_tokens_s"]
    assert documents_s("minilm-int8", 126, 1000, MACHINE) == pytest.approx(expected)


def test_pairs_take_what_the_profile_says_and_more_from_memory() -> None:
    step = late_interaction(1000, 12, 128, MACHINE)
    warm, cold = (step.seconds(MACHINE, touched) for touched in (0.0, 42e6))
    assert warm == pytest.approx(1000 / VALUES["maxsim_pairs_s"], rel=0.01)
    assert cold > 2 * warm


@given(st.integers(1, 200), st.floats(10, 2000))
def test_cross_encoding_is_dearer_than_late_interaction(pairs: int, tokens: float) -> None:
    model = CrossEncoder(MINILM, 90e6)
    cross = cross_encoding(model, pairs, 12, tokens, 1, MACHINE).seconds(MACHINE, 0.0)
    assert cross > late_interaction(pairs, 12, tokens, MACHINE).seconds(MACHINE, 0.0)


def test_a_chunk_that_does_not_fit_is_read_in_pieces() -> None:
    model = CrossEncoder(MINILM, 90e6)
    short, long = (cross_encoding(model, 10, 12, t, 1, MACHINE).compute_s for t in (400, 800))
    assert 1.7 < long / short < 2.3


def test_the_first_token_waits_for_the_prompt() -> None:
    """256 tokens as in the profile: what is asked, and what frames it."""
    context = (256 - 12) / 1.05 - 10
    expected = 256 / VALUES["prefill_one_tokens_s"]
    assert prompt_s(context, 10, 1, MACHINE) == pytest.approx(expected, rel=0.03)
    assert prompt_s(4 * context, 10, 1, MACHINE) > 3 * prompt_s(context, 10, 1, MACHINE)


def test_every_token_reads_the_weights_and_a_little_more_with_context() -> None:
    short, long = (token_s(t, 2, MACHINE) for t in (256 / 1.05, 4096))
    assert short == pytest.approx(1 / VALUES["decode_all_tokens_s"], rel=0.01)
    assert short < long < 1.6 * short
