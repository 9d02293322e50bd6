"""Chunking a corpus: identity by embedded text, occurrences, titles outside spans."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autorag.documents import Document, RawDocument
from autorag.hashing import text_id
from autorag.pipeline.artifacts import ArtifactStore
from autorag.pipeline.chunks import Chunks, chunk_corpus
from autorag.pipeline.parse import parse_documents
from autorag.pipeline.tokens import token_counts
from tests.autorag.pipeline.corpus import config, documents

LONG = "\n\n".join(d.text for d in documents())


def chunked(corpus: list[Document], store: ArtifactStore, **knobs: object) -> Chunks:
    return chunk_corpus(corpus, config(**knobs), store)[0]


def test_equal_texts_are_one_chunk_with_two_occurrences(store: ArtifactStore) -> None:
    corpus = [Document("a", "", "Same words."), Document("b", "", "Other words."),
              Document("c", "", "Same words.")]  # fmt: skip
    chunks = chunked(corpus, store)
    assert chunks.texts == ["Same words.", "Other words."]
    where = [[(o.doc, o.start, o.end) for o in found] for found in chunks.occurrences]
    assert where == [[("a", 0, 11), ("c", 0, 11)], [("b", 0, 12)]]


def test_a_repeated_passage_within_a_document_occurs_twice(store: ArtifactStore) -> None:
    passage = "word " * 32
    chunks = chunked(
        [Document("a", "", passage * 2)], store, chunk__splitter="fixed", chunk__tokens=32,
        chunk__overlap=0.0,
    )  # fmt: skip
    assert len(chunks) == 1
    assert [o.start for o in chunks.occurrences[0]] == [0, len(passage)]


def test_the_title_is_in_the_text_but_not_in_the_span(store: ArtifactStore) -> None:
    document = Document("a", "Café Zoë", LONG)
    chunks = chunked([document], store, chunk__tokens=64)
    assert len(chunks) > 5
    for text, occurrences in zip(chunks.texts, chunks.occurrences, strict=True):
        (where,) = occurrences
        assert text == "Café Zoë\n" + LONG[where.start : where.end]


def test_equal_bodies_with_other_titles_are_two_chunks(store: ArtifactStore) -> None:
    corpus = [Document("a", "One", "Same words."), Document("b", "Two", "Same words.")]
    assert len(chunked(corpus, store)) == 2


def test_tokens_count_the_whole_text(store: ArtifactStore) -> None:
    chunks = chunked(documents(), store, chunk__tokens=32)
    assert chunks.tokens.tolist() == token_counts(chunks.texts)


def test_ids_are_hashes_of_the_texts(store: ArtifactStore) -> None:
    chunks = chunked(documents(), store)
    assert chunks.ids == [text_id(t) for t in chunks.texts]


def test_documents_without_words_have_no_chunks(store: ArtifactStore) -> None:
    chunks = chunked([Document("a", "Title", ""), Document("b", "", " \n ")], store)
    assert len(chunks) == 0


def test_boundaries_are_reused_until_a_chunk_knob_changes(store: ArtifactStore) -> None:
    corpus = documents()
    reused = [
        chunk_corpus(corpus, config(**knobs), store)[1]
        for knobs in (
            {},
            {},
            {"chunk__tokens": 64},
            {"chunk__tokens": 64, "embed__model": "static"},
            {"chunk__tokens": 64, "chunk__overlap": 0.2},
        )
    ]
    assert reused == [False, True, False, True, False]


def test_another_chunk_size_keeps_parsing(store: ArtifactStore) -> None:
    raw = [RawDocument(d.id, d.title, d.text.encode(), "record") for d in documents()]
    assert not parse_documents(raw, store)[1]
    chunk_corpus(parse_documents(raw, store)[0], config(), store)
    parsed, reused = parse_documents(raw, store)
    assert reused
    assert not chunk_corpus(parsed, config(chunk__tokens=32), store)[1]


def test_only_a_changed_document_is_cut_again(store: ArtifactStore) -> None:
    corpus = documents()
    before = chunked(corpus, store)
    corpus[3] = replace(corpus[3], text=corpus[3].text + " More.")
    after, reused, _ = chunk_corpus(corpus, config(), store)
    assert not reused
    assert len(set(after.ids) - set(before.ids)) == 1


@settings(max_examples=25)
@given(
    st.lists(st.text(max_size=60), min_size=1, max_size=8),
    st.sampled_from(("fixed", "sentence", "recursive", "content_defined")),
)
def test_every_occurrence_holds_its_text(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], splitter: str
) -> None:
    store = ArtifactStore(tmp_path_factory.getbasetemp() / "occurrences")
    corpus = {f"d{i}": Document(f"d{i}", f"T{i % 2}", t) for i, t in enumerate(texts)}
    chunks = chunked(list(corpus.values()), store, chunk__splitter=splitter, chunk__tokens=32)
    for text, occurrences in zip(chunks.texts, chunks.occurrences, strict=True):
        for o in occurrences:
            document = corpus[o.doc]
            assert text == f"{document.title}\n{document.text[o.start : o.end]}"
