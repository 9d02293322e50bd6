"""The study of pseudo-queries: what its kinds are, and that nothing is chosen on what judges it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.wiring import make_space
from autorag.documents import Document
from autorag.evaluation.gold import first_ranks
from autorag.evaluation.ranking import ndcg_at_10
from autorag.pipeline.artifacts import ArtifactStore
from autorag.pipeline.build import BuildContext
from autorag.pipeline.rag import Pipeline
from benchmarks.pseudo.choosing import WEIGHTS, Recipe, Study, left_out, recipes
from benchmarks.pseudo.corpora import cut, held_sentences, neighbours
from benchmarks.pseudo.judging import grid, judged
from benchmarks.pseudo.kinds import KEPT, TODAY, WORDINGS, made_queries
from benchmarks.pseudo.measured import Measured, load, save
from benchmarks.pseudo.report import numbers, page
from benchmarks.pseudo.words import Vocabulary

TOPICS = (
    "granite quarries",
    "harbour pilots",
    "mountain goats",
    "paper mills",
    "river ferries",
    "copper smelters",
)


def corpus(sentences: int = 4) -> list[Document]:
    """Two documents a topic."""
    return [
        Document(f"d{i}", f"About {topic}", " ".join(_told(topic, i, n) for n in range(sentences)))
        for i, topic in enumerate([*TOPICS, *TOPICS])
    ]


def _told(topic: str, document: int, number: int) -> str:
    return f"Sentence number {number} of {document} tells something more about {topic} of old."


@given(st.integers(2, 30), st.integers(1, 40), st.integers(0, 3))
def test_sentences_come_from_as_many_documents_as_possible(
    sentences: int, count: int, seed: int
) -> None:
    documents = corpus(sentences)
    held = held_sentences(documents, np.random.default_rng(seed), count)
    assert len({h.doc for h in held}) == min(count, len(documents))
    left = {d.id: d.text for d in cut(documents, held)}
    assert not any(h.text in left[h.doc] for h in held)
    assert all(len(text.split()) >= 6 for text in left.values())


def test_neighbours_are_the_sentences_beside_the_hole() -> None:
    whole = corpus(5)[0]
    for seed in range(10):
        (held,) = held_sentences([whole], np.random.default_rng(seed), 1)
        (left,) = cut([whole], [held])
        told = {left.text[s:e][:17] for s, e in neighbours(held, whole.text, left.text).places}
        number = int(held.text.split()[2])
        beside = {number - 1, number + 1} & set(range(5))
        assert told == {f"Sentence number {n}" for n in beside}


def test_kinds_differ_in_words_and_in_what_they_must_find(models: Path) -> None:
    documents = corpus()
    rng = np.random.default_rng(0)
    held = held_sentences(documents, rng, 12)
    corpora, made = made_queries(documents, held, Vocabulary(documents, models), rng)
    assert set(made) >= {*WORDINGS, *(f"kept: {k}" for k in KEPT), "title", "first sentence"}
    texts = {name: {d.id: d.text for d in side} for name, side in corpora.items()}
    for h, query in zip(held, made[TODAY].queries, strict=True):
        assert query.question == h.text
        assert query.question not in texts["cut"][h.doc]
    for h, query in zip(held, made[f"kept: {KEPT[0]}, its place"].queries, strict=True):
        (start, end) = query.units[0].places[0]
        assert texts["whole"][h.doc][start:end] == h.text
    for query in made["title"].queries:
        assert not any(d.title for d in corpora["headless"])
        assert query.question.startswith("About")


def test_judged_as_the_pipeline_would(models: Path, tmp_path: Path) -> None:
    documents = corpus(6)
    rng = np.random.default_rng(0)
    held = held_sentences(documents, rng, 8)
    corpora, made = made_queries(documents, held, Vocabulary(documents, models), rng)
    queries = made["sentence, its neighbours"].queries
    context = BuildContext(ArtifactStore(tmp_path), models, threads=1)
    configs = grid(make_space(), ["static"], [0, 4])
    found = judged(corpora["cut"], queries, configs, context)
    assert found.shape == (8, 14)
    for config, column in zip(configs, found.T, strict=True):
        pipeline = Pipeline.open(config, corpora["cut"], context)
        ranked = (pipeline.occurrences(pipeline.retrieve(q.question)) for q in queries)
        ranks = (first_ranks(q.units, r) for q, r in zip(queries, ranked, strict=True))
        assert column == pytest.approx([ndcg_at_10(r) for r in ranks])


def a_study(rng: np.random.Generator, names: tuple[str, ...]) -> Study:
    """Where the kind ``good`` is the truth, and today's is noise."""
    found = []
    configs = tuple({"chunk.tokens": i, "retrieve.mode": "lexical"} for i in range(12))
    for name in names:
        truth = rng.random(12)
        kinds = {TODAY: rng.random((40, 12)), "good": truth + 0.01 * rng.random((40, 12))}
        real = truth + 0.01 * rng.random((50, 12))
        lengths = dict.fromkeys(("labelled", *kinds), 5.0)
        found.append(Measured(name, 40, configs, real, kinds, {0.5: kinds[TODAY][:9]}, lengths))
    return Study(found)


def test_a_better_kind_is_found_on_the_other_workloads() -> None:
    study = a_study(np.random.default_rng(0), tuple("abcdef"))
    chosen = left_out(study, [Recipe((TODAY,)), Recipe(("good",))])
    assert [r.kinds for r, _ in chosen] == [("good",)] * 6
    assert np.mean([v.mean() for _, v in chosen]) < 0.05 < study.table(Recipe((TODAY,))).mean()


def test_nothing_is_learned_from_the_workload_or_its_relatives() -> None:
    """Labels of a workload, and of one that holds its documents, change nothing for it."""
    names = ("xquad_en", "wiki_large", "cosqa_code", "tatqa_finance")
    study = a_study(np.random.default_rng(0), names)
    other = a_study(np.random.default_rng(0), names)
    for measured in other.found[:2]:
        measured.real[:] = measured.real[:, ::-1]
    some = recipes(study, WEIGHTS)
    for target in (0, 1):
        assert left_out(study, some)[target][0] == left_out(other, some)[target][0]
        recipe = Recipe((TODAY,), 0.5)
        a, b = (s.scores(recipe, target, s.unrelated(target)) for s in (study, other))
        assert np.array_equal(a, b)


def test_what_was_measured_is_kept(tmp_path: Path) -> None:
    (measured,) = a_study(np.random.default_rng(0), ("a",)).found
    save(measured, tmp_path / "a.npz")
    again = load(tmp_path / "a.npz")
    assert (again.name, again.documents, again.configs) == ("a", 40, measured.configs)
    assert np.array_equal(again.real, measured.real)
    assert again.kinds.keys() == measured.kinds.keys()
    assert np.array_equal(again.shares[0.5], measured.shares[0.5])


def test_the_page_tells_every_kind_and_the_figures_every_recipe() -> None:
    found = a_study(np.random.default_rng(0), ("a", "b", "c")).found
    assert "| good |" in page(found)
    told = numbers(found)
    assert told["regret"].keys() == {str(r) for r in recipes(Study(found), WEIGHTS)}
    assert told["regret"]["good"].keys() == {"a", "b", "c"}
