"""Chunks predicted from lengths, beside the real splitters on made-up text."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.pipeline.splitters import split
from models.analytic.chunking import _prose, advance, chunking, document_lengths
from models.analytic.columns import Labels
from models.analytic.shape import WorkloadShape

SPLITTERS = ("fixed", "sentence", "recursive", "content_defined")
SHAPE = WorkloadShape(documents=1000, tokens=400_000, document_tokens=(50, 250, 1200))

splitters = st.sampled_from(SPLITTERS)
sizes = st.sampled_from([32, 64, 128, 256, 512, 1024])
overlaps = st.sampled_from([0.0, 0.1, 0.3])


def cut(shape: WorkloadShape, splitter: str, size: int, overlap: float) -> tuple[float, float]:
    """Chunks, and tokens of one."""
    found = chunking(shape, Labels.of([(splitter, size, overlap)]))
    return found.chunks.item(), found.tokens.item()


def test_lengths_have_the_quantiles_and_the_sum() -> None:
    lengths = document_lengths(SHAPE)
    assert np.quantile(lengths, 0.5) == pytest.approx(250, rel=0.05)
    assert np.quantile(lengths, 0.05) == pytest.approx(50, rel=0.15)
    assert lengths.mean() == pytest.approx(400, rel=0.02)
    assert (np.diff(lengths) >= 0).all()


@pytest.mark.parametrize("splitter", SPLITTERS)
@pytest.mark.parametrize("size", [48, 200])
def test_a_long_text_has_as_many_chunks_as_the_splitter_makes(splitter: str, size: int) -> None:
    """Another text than the one that the prediction runs over."""
    text = _prose(25_000)
    real = split(text, splitter, size, 0.15)
    shape = WorkloadShape(1, len(text), (len(text),) * 3)
    chunks, tokens = cut(shape, splitter, size, 0.15)
    assert chunks == pytest.approx(len(real), rel=0.06)
    assert tokens == pytest.approx(real[:, 2].mean(), rel=0.06)


@given(splitters, overlaps)
def test_short_documents_are_one_chunk_each(splitter: str, overlap: float) -> None:
    shape = WorkloadShape(300, 300 * 40, (40, 40, 40))
    assert cut(shape, splitter, 256, overlap) == pytest.approx((300, 40))


@given(splitters, sizes, overlaps)
def test_no_token_is_lost(splitter: str, size: int, overlap: float) -> None:
    chunks, tokens = cut(SHAPE, splitter, size, overlap)
    assert chunks * tokens >= SHAPE.tokens * 0.99
    assert chunks >= SHAPE.documents
    assert tokens <= (2 if splitter == "content_defined" else 1) * size


@given(splitters, overlaps)
def test_smaller_chunks_are_more(splitter: str, overlap: float) -> None:
    cuts = Labels.of([(splitter, size, overlap) for size in (512, 128, 32)])
    assert (np.diff(chunking(SHAPE, cuts).chunks) >= 0).all()


def test_copies_are_one_chunk_and_titles_are_in_every_chunk() -> None:
    chunks, tokens = cut(SHAPE, "fixed", 128, 0.0)
    copied, _ = cut(replace(SHAPE, duplicate_share=0.25), "fixed", 128, 0.0)
    _, titled = cut(replace(SHAPE, title_share=1.0), "fixed", 128, 0.0)
    assert copied == pytest.approx(0.75 * chunks)
    assert titled > tokens + 1


def test_what_is_known_is_taken() -> None:
    known = replace(SHAPE, chunks=77.0, chunk_tokens=88.0)
    assert cut(known, "fixed", 128, 0.0) == (77.0, 88.0)


def test_content_defined_cuts_advance_as_the_hash_says() -> None:
    """The closed form beside the splitter, over many chunks."""
    rows = split(_prose(120_000), "content_defined", 64, 0.0)
    lengths = rows[:-1, 2].astype(float)
    expected = advance("content_defined", 64, 0.0)
    assert lengths.mean() == pytest.approx(expected.mean, rel=0.03)
    assert lengths.var() / lengths.mean() ** 2 == pytest.approx(expected.cv2, rel=0.15)
