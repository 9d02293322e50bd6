"""Recall of approximate search, on corpora whose law is known."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import product

import numpy as np
import pytest

from autorag.features import WorkloadFeatures
from autorag.objective import parse_objective
from models.analytic.columns import Floats
from models.analytic.knobs import Knobs
from models.recall import (
    EXACT,
    RecallModel,
    Searched,
    approximate,
    left_out,
    recall_rows,
)
from tests.models.learned import SPACE, Imagined

IVF = {"retrieve.mode": "dense", "index.kind": "ivf_flat"}
HNSW = {"retrieve.mode": "dense", "index.kind": "hnsw"}
CELLS = product((0.5, 1.0, 2.0), (1, 4, 16, 64))
GRAPHS = product((8, 32), (16, 64, 256))
CONFIGS = [
    *(SPACE.config({**IVF, "index.nlist": n, "retrieve.nprobe": p}) for n, p in CELLS),
    *(SPACE.config({**HNSW, "index.hnsw_m": m, "retrieve.ef_search": e}) for m, e in GRAPHS),
]
KNOBS = Knobs.of(CONFIGS)
OTHERS = Knobs.of([SPACE.default(), SPACE.config({"retrieve.mode": "lexical"})])


def features(lid: float) -> WorkloadFeatures:
    made = Imagined("x", 0.5).features
    return replace(made, embedding=replace(made.embedding, lid=lid, query_lid=lid))


def law(chunks: float, lid: float) -> Floats:
    """More effort finds more, and hard vectors are found less."""
    walked = KNOBS.ef_search * KNOBS.hnsw_m / 50
    effort = np.where(KNOBS.kind.among("hnsw"), walked, KNOBS.nprobe * 2)
    return np.asarray(1 - np.exp(-effort * 10 / (lid * np.log(chunks))))


def searched(name: str, chunks: float, lid: float) -> Searched:
    rows = recall_rows(KNOBS, np.full(len(KNOBS), chunks), features(lid))
    return Searched(name, rows, law(chunks, lid))


@lru_cache
def corpora() -> tuple[Searched, ...]:
    sizes, lids = (5e3, 2e4, 1e5, 3e5), (8.0, 11.0, 14.0, 18.0, 24.0)
    return tuple(searched(f"{n:g} {d:g}", n, d) for n, d in product(sizes, lids))


@lru_cache
def model() -> RecallModel:
    made = RecallModel.fit(corpora(), left_out(corpora(), seed=0), seed=0)
    assert made is not None
    return made


def predict(knobs: Knobs = KNOBS, chunks: float = 5e4, lid: float = 12.0) -> Floats:
    return model().predict(knobs, np.full(len(knobs), chunks), features(lid))


def test_recall_of_a_corpus_nobody_searched_is_near() -> None:
    assert np.abs(predict() - law(5e4, 12.0)).mean() < 0.04
    errors = [np.abs(v).mean() for v in left_out(corpora(), seed=0).values()]
    assert len(errors) == len(corpora())
    assert np.mean(errors) < 0.05


def test_flat_search_is_exact_and_search_by_words_has_no_recall() -> None:
    flat, words = predict(OTHERS)
    assert flat == EXACT
    assert np.isnan(words)
    assert not approximate(OTHERS).any()
    assert (predict() < EXACT).all()


@pytest.mark.parametrize(
    ("base", "knob", "values"),
    [
        ({**IVF, "index.nlist": 1.0}, "retrieve.nprobe", (1, 2, 3, 5, 9, 20, 40, 90)),
        ({**HNSW, "index.hnsw_m": 16}, "retrieve.ef_search", (16, 20, 40, 70, 130, 250, 500)),
    ],
)
def test_more_effort_never_finds_less(
    base: dict[str, object], knob: str, values: tuple[int, ...]
) -> None:
    knobs = Knobs.of([SPACE.config({**base, knob: v}) for v in values])
    for chunks, lid in product((1e3, 5e4, 1e6), (3.0, 12.0, 60.0)):
        assert (np.diff(predict(knobs, chunks, lid)) >= 0).all()


def test_the_chance_is_the_share_of_corpora_and_what_is_exact_is_sure() -> None:
    bounds = parse_objective("max ndcg_at_10 subject to ann_recall_at_10 >= 0.9").slos
    low, high, flat = model().chance(np.array([0.5, 0.99, EXACT]), bounds)
    assert low < 0.1 < 0.9 < high
    assert flat == 1.0
    below = parse_objective("max ndcg_at_10 subject to ann_recall_at_10 <= 0.9").slos
    assert model().chance(np.array([EXACT]), below).tolist() == [0.0]


def test_one_corpus_tells_of_no_other() -> None:
    assert left_out(corpora()[:1], seed=0) == {}
    assert RecallModel.fit(corpora()[:1], {}, seed=0) is None
