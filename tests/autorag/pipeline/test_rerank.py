"""Rerankers against straightforward computations."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from autorag.pipeline.items import Ragged
from autorag.pipeline.lexical import LexicalSearch
from autorag.pipeline.packages import minilm_folder
from autorag.pipeline.rerank import (
    CrossEncoder,
    LexicalReranker,
    MaxSim,
    quantised,
    rerank,
)
from autorag.pipeline.transformer import TransformerEncoder, int8_encoder
from tests.autorag.pipeline.corpus import documents, gold, queries

IDS = [d.id for d in documents()]
TEXTS = [f"{d.title}\n{d.text}" for d in documents()]
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "special_tokens_map.json",
)


@pytest.fixture(scope="module")
def encoder() -> TransformerEncoder:
    return int8_encoder(2)


def token_vectors(encoder: TransformerEncoder, texts: list[str]) -> list[np.ndarray]:
    return encoder.encode(texts, 8, tokens=True).tokens


def quantised_tokens(encoder: TransformerEncoder, texts: list[str]) -> list[np.ndarray]:
    return [quantised(t) for t in token_vectors(encoder, texts)]


def ragged(items: list[np.ndarray]) -> Ragged:
    return Ragged(np.concatenate(items), np.cumsum([0, *map(len, items)]).astype(np.int64))


@pytest.fixture(scope="module")
def maxsim(encoder: TransformerEncoder) -> MaxSim:
    return MaxSim(encoder, ragged(quantised_tokens(encoder, TEXTS)))


class ByRow:
    """Scores a row by a table."""

    def __init__(self, table: dict[int, float]) -> None:
        self.table = table

    def scores(self, query: str, rows: np.ndarray) -> np.ndarray:
        return np.array([self.table[int(r)] for r in rows])


def candidates(*rows: int) -> tuple[np.ndarray, np.ndarray]:
    return np.array(rows, dtype=np.int64), np.linspace(1, 0, len(rows), dtype=np.float32)


def test_only_the_first_candidates_are_ordered_again() -> None:
    table = {4: 0.1, 7: 0.9, 2: 0.5, 9: 5.0}
    rows, scores = rerank(ByRow(table), "", candidates(4, 7, 2, 9), depth=3, weight=1, k=2)
    assert rows.tolist() == [7, 2]
    assert scores.tolist() == pytest.approx([1.0, 0.5])


def test_the_weight_mixes_both_scores() -> None:
    table = {4: 0.0, 7: 0.4, 2: 1.0}
    first = [rerank(ByRow(table), "", candidates(4, 7, 2), 3, w, 3)[0][0] for w in (0.1, 0.9)]
    assert first == [4, 2]


def test_ties_keep_their_order() -> None:
    rows, _ = rerank(ByRow(dict.fromkeys(range(9), 1.0)), "", candidates(5, 3, 8, 1), 4, 1, 4)
    assert rows.tolist() == [5, 3, 8, 1]


def test_no_candidates_stay_none() -> None:
    assert len(rerank(ByRow({}), "", candidates(), 10, 1, 5)[0]) == 0


def test_bm25_scores_the_candidates_with_the_index() -> None:
    lexical = LexicalSearch.build(TEXTS)
    rows = np.array([3, 36, 4])
    scores = LexicalReranker(lexical).scores("blue whale krill", rows)
    np.testing.assert_array_equal(scores, lexical.scores("blue whale krill")[rows])
    assert scores.argmax() == 1


def by_hand(encoder: TransformerEncoder, query: str, text: str) -> float:
    """Mean over query tokens of the best cosine with a token of the text, in floats."""
    asked, held = token_vectors(encoder, [query])[0], token_vectors(encoder, [text])[0]
    return float(np.mean([max(float(q @ t) for t in held) for q in asked]))


def test_maxsim_is_late_interaction(encoder: TransformerEncoder, maxsim: MaxSim) -> None:
    rows = np.array([36, 0, 17, 3, 39])
    for query in queries()[:3]:
        expected = [by_hand(encoder, query.question, TEXTS[r]) for r in rows]
        found = maxsim.scores(query.question, rows)
        np.testing.assert_allclose(found, expected, atol=0.01)
        assert np.argsort(-found).tolist() == np.argsort(-np.array(expected)).tolist()


def test_maxsim_puts_the_right_passage_first(maxsim: MaxSim) -> None:
    rows = np.arange(len(TEXTS))
    hits = [IDS[int(maxsim.scores(q.question, rows).argmax())] == gold(q) for q in queries()]
    assert sum(hits) >= 9


def test_maxsim_scores_a_row_alike_in_any_company(maxsim: MaxSim) -> None:
    together = maxsim.scores("green tea", np.arange(40))
    np.testing.assert_allclose(maxsim.scores("green tea", np.array([4])), together[4:5], atol=1e-6)


def test_maxsim_of_a_query_or_a_text_without_words(encoder: TransformerEncoder) -> None:
    tokens = quantised_tokens(encoder, ["", "green tea"])
    assert [len(t) for t in tokens] == [1, 2]
    search = MaxSim(encoder, ragged(tokens))
    assert search.scores("", np.array([0, 1])).tolist() == [0, 0]
    scores = search.scores("tea", np.array([0, 1]))
    assert scores[0] == 0 < scores[1]


def test_few_token_coordinates_are_clipped(encoder: TransformerEncoder) -> None:
    tokens = np.concatenate(quantised_tokens(encoder, TEXTS))
    assert (np.abs(tokens.astype(int)) == 127).mean() < 0.01


def test_a_long_text_keeps_all_its_tokens(encoder: TransformerEncoder) -> None:
    long = " ".join(TEXTS[:20])
    (tokens,) = quantised_tokens(encoder, [long])
    assert len(tokens) == len(token_vectors(encoder, [long])[0]) > 600


@pytest.fixture(scope="module")
def cross_encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny randomly initialised BERT that reads pairs, with MiniLM's tokenizer."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("cross-encoder")
    torch.manual_seed(0)
    shape = BertConfig(
        vocab_size=30522, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64, num_labels=1, initializer_range=0.5,
    )  # fmt: skip
    BertForSequenceClassification(shape).save_pretrained(folder)
    for name in TOKENIZER_FILES:
        if (minilm_folder() / name).is_file():
            shutil.copy(minilm_folder() / name, folder)
    return folder


@pytest.fixture(scope="module")
def cross_encoder(cross_encoder_folder: Path) -> CrossEncoder:
    return CrossEncoder(cross_encoder_folder, lambda row: TEXTS[row], 2)


def test_a_cross_encoder_reads_query_and_text_together(cross_encoder: CrossEncoder) -> None:
    rows = np.array([4, 36, 0])
    scores = cross_encoder.scores("green tea", rows)
    assert scores.shape == (3,)
    assert len(set(scores.tolist())) == 3
    assert cross_encoder.scores("blue whale", rows).tolist() != scores.tolist()


def test_a_cross_encoder_scores_a_pair_alike_in_any_company(cross_encoder: CrossEncoder) -> None:
    together = cross_encoder.scores("green tea", np.array([0, 4, 36]))
    alone = [cross_encoder.scores("green tea", np.array([r]))[0] for r in (0, 4, 36)]
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_a_cross_encoder_scores_as_its_model_does(
    cross_encoder: CrossEncoder, cross_encoder_folder: Path
) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(cross_encoder_folder)
    model = AutoModelForSequenceClassification.from_pretrained(cross_encoder_folder).eval()
    with torch.inference_mode():
        logits = model(**tokenizer("tea", TEXTS[4], return_tensors="pt")).logits
    assert cross_encoder.scores("tea", np.array([4]))[0] == pytest.approx(
        float(logits[0, 0]), abs=1e-4
    )


def test_a_long_text_fits_the_cross_encoder(cross_encoder_folder: Path) -> None:
    long = CrossEncoder(cross_encoder_folder, lambda row: " ".join(TEXTS), 1)
    assert np.isfinite(long.scores("green tea", np.array([0]))).all()


def test_cross_encoder_weights_are_counted(cross_encoder: CrossEncoder) -> None:
    assert cross_encoder.weights_bytes > 30522 * 32 * 4
