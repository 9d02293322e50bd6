"""Chunk boundaries: bounds on length, order, coverage, overlap, and stability under edits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autorag.pipeline.chunks import tokenized
from autorag.pipeline.splitters import Tokens, split

SPLITTERS = ("fixed", "sentence", "recursive", "content_defined")
WORDS = ("the", "library", "opened", "unbelievably", "42.195", "e", "café", "東京都", "z" * 40)
ENDINGS = (" ", " ", " ", ". ", "! ", "? ", "\n", "\n\n", " \n \n", "。", "")

texts = st.lists(
    st.tuples(st.sampled_from(WORDS), st.sampled_from(ENDINGS)), min_size=1, max_size=200
).map(lambda pairs: "".join(word + ending for word, ending in pairs))
any_text = st.one_of(texts, st.text(max_size=300))
sizes = st.sampled_from((1, 2, 3, 8, 32, 100))
overlaps = st.sampled_from((0.0, 0.1, 0.3))
splitters = st.sampled_from(SPLITTERS)


def tokens_of(text: str) -> Tokens:
    return tokenized([text])[0]


def ranges(tokens: Tokens, chunks: np.ndarray) -> list[tuple[int, int]]:
    """Token ranges of chunks whose first token starts and last token ends where they say."""
    starts, ends = tokens.offsets[:, 0].tolist(), tokens.offsets[:, 1].tolist()
    found = []
    for start, end, count in chunks.tolist():
        matches = [
            i
            for i, at in enumerate(starts)
            if at == start and i + count <= len(ends) and ends[i + count - 1] == end
        ]
        assert matches, f"{start}:{end} is no run of {count} tokens"
        found.append((matches[0], matches[0] + count))
    return found


def has_tokens(text: str) -> bool:
    return len(tokens_of(text)) > 0


def word_stream(count: int, seed: int) -> list[str]:
    letters = np.random.default_rng(seed).integers(97, 123, (count, 6), dtype=np.uint8)
    return [row.tobytes().decode() for row in letters]


def pieces(text: str, splitter: str, size: int) -> set[str]:
    return {text[a:b] for a, b, _ in split(tokens_of(text), splitter, size, 0.0).tolist()}


@given(any_text.filter(has_tokens), splitters, sizes, overlaps)
def test_no_chunk_is_longer_than_its_size(
    text: str, splitter: str, size: int, share: float
) -> None:
    chunks = split(tokens_of(text), splitter, size, share)
    most = 2 * size if splitter == "content_defined" else size
    assert chunks[:, 2].min() >= 1
    assert chunks[:, 2].max() <= most


@given(texts, splitters, sizes, overlaps)
def test_chunks_stand_in_order_and_cover_every_token(
    text: str, splitter: str, size: int, share: float
) -> None:
    tokens = tokens_of(text)
    found = ranges(tokens, split(tokens, splitter, size, share))
    assert found[0][0] == 0
    assert found[-1][1] == len(tokens)
    for before, after in itertools.pairwise(found):
        assert before[0] <= after[0] <= before[1] < after[1]


@example("the " + "z" * 40, "fixed", 8, 0.3)
@given(texts, splitters, sizes, overlaps)
def test_no_chunk_lies_within_the_next(text: str, splitter: str, size: int, share: float) -> None:
    tokens = tokens_of(text)
    found = ranges(tokens, split(tokens, splitter, size, share))
    assert all(a[0] < b[0] for a, b in itertools.pairwise(found))


@given(texts, splitters, sizes)
def test_without_overlap_chunks_are_disjoint(text: str, splitter: str, size: int) -> None:
    tokens = tokens_of(text)
    found = ranges(tokens, split(tokens, splitter, size, 0.0))
    assert sum(b - a for a, b in found) == len(tokens)
    assert all(a[1] == b[0] for a, b in itertools.pairwise(found))


@given(texts, st.sampled_from(("fixed", "sentence", "recursive")), sizes, overlaps)
def test_neighbours_share_at_most_the_overlap(
    text: str, splitter: str, size: int, share: float
) -> None:
    tokens = tokens_of(text)
    found = ranges(tokens, split(tokens, splitter, size, share))
    assert all(a[1] - b[0] <= int(size * share) for a, b in itertools.pairwise(found))


def test_overlap_repeats_the_end_of_the_chunk_before() -> None:
    text = " ".join(word_stream(400, 1))
    chunks = split(tokens_of(text), "fixed", 64, 0.25)
    shared = [a[1] - b[0] for a, b in itertools.pairwise(chunks)]
    assert min(shared) > 0


@pytest.mark.parametrize("splitter", SPLITTERS)
@pytest.mark.parametrize(
    "text",
    [
        "x" * 3000,
        "你好世界" * 400,
        "ção" * 900,
        "\u200d\ufe0f".join("👩🏽🚀é") * 50 + "a",
        "۱۲۳ " * 300,
    ],
    ids=["one giant word", "chinese", "no white space", "emoji", "arabic digits"],
)
def test_hard_texts_are_covered(text: str, splitter: str) -> None:
    tokens = tokens_of(text)
    found = ranges(tokens, split(tokens, splitter, 32, 0.1))
    assert found[0][0] == 0
    assert found[-1][1] == len(tokens)


def test_an_empty_text_has_no_tokens() -> None:
    assert [len(t) for t in tokenized(["", " \n\n ", "word"])] == [0, 0, 1]


def test_sentences_stay_whole_when_they_fit() -> None:
    text = "One fish swims. Two birds fly! Are three cats asleep? Four dogs bark."
    chunks = split(tokens_of(text), "sentence", 5, 0.0)
    assert [text[a:b] for a, b, _ in chunks.tolist()] == [
        "One fish swims.",
        "Two birds fly!",
        "Are three cats asleep?",
        "Four dogs bark.",
    ]


def test_recursive_prefers_paragraphs() -> None:
    text = "Short one. Second sentence.\n\nAnother paragraph here.\n\nLast."
    chunks = split(tokens_of(text), "recursive", 9, 0.0)
    assert [text[a:b] for a, b, _ in chunks.tolist()] == [
        "Short one. Second sentence.",
        "Another paragraph here.\n\nLast.",
    ]


def test_fixed_cuts_between_words() -> None:
    text = " ".join(word_stream(300, 2))
    for start, end, _ in split(tokens_of(text), "fixed", 20, 0.0).tolist():
        assert start == 0 or text[start - 1] == " "
        assert end == len(text) or text[end] == " "


@given(st.integers(300, 700), st.integers(0, 50), st.sampled_from((16, 32)))
def test_an_edit_changes_only_content_defined_chunks_near_it(at: int, seed: int, size: int) -> None:
    words = word_stream(1000, seed)
    before = " ".join(words)
    after = " ".join([*words[:at], "inserted", "words", "here", *words[at:]])
    kept, made = pieces(before, "content_defined", size), pieces(after, "content_defined", size)
    assert len(made - kept) <= 0.2 * len(made)
    far = {p for p in made - kept if not _near(p, words[at - 1 : at + 1], after)}
    assert not far


def test_an_edit_changes_the_fixed_chunks_after_it() -> None:
    rng = np.random.default_rng(3)
    words = rng.choice(["red", "tea", "sun", "owl", "ice", "sea"], 3000).tolist()
    after = [*words[:600], "inserted", *words[600:]]
    kept, made = (pieces(" ".join(w), "fixed", 32) for w in (words, after))
    assert len(made - kept) > 0.6 * len(made)


def _near(piece: str, marks: list[str], text: str) -> bool:
    """Whether a piece stands within 1500 characters of the edit between two words."""
    return abs(text.index(piece) - text.index(marks[0])) < 1500


def test_splitting_is_deterministic() -> None:
    text = " ".join(word_stream(500, 4))
    for splitter in SPLITTERS:
        first = split(tokens_of(text), splitter, 48, 0.2)
        np.testing.assert_array_equal(first, split(tokens_of(text), splitter, 48, 0.2))
