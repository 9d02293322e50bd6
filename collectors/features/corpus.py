"""Features of the documents themselves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autorag.documents import Document
from autorag.features import CorpusFeatures
from collectors.features import vocabulary
from collectors.features.duplicates import duplicate_share, near_duplicate_share
from collectors.features.formats import FORMATS, format_mix
from collectors.features.languages import language_mix, non_latin_share
from collectors.features.models import TokenCounter
from collectors.features.sample import CorpusSample
from collectors.features.words import WordTable

Quantiles = tuple[float, float, float] | tuple[None, None, None]


def corpus_features(
    documents: Sequence[Document],
    sample: CorpusSample,
    count_tokens: TokenCounter | None,
    rng: np.random.Generator,
) -> CorpusFeatures:
    """Features of a corpus.

    Args:
        documents: all of them; only counted, measured by length and compared for equality.
        count_tokens: the tokenizer that chunks are counted with, where it is installed.
    """
    table, passages = sample.table, sample.passage_table
    tokens = None if count_tokens is None else _tokens(sample.close, count_tokens)
    low, middle, high = token_quantiles(tokens)
    idf_mean, idf_sd = vocabulary.idf(passages)
    english, other, entropy = language_mix(passages)
    formats = format_mix(d.text for d in sample.close) or dict.fromkeys(FORMATS)
    return CorpusFeatures(
        documents=len(documents),
        tokens=None if tokens is None else _total(tokens, sample),
        document_tokens_p5=low,
        document_tokens_p50=middle,
        document_tokens_p95=high,
        title_share=_mean([bool(d.title.strip()) for d in documents]),
        duplicate_share=duplicate_share(documents),
        near_duplicate_share=near_duplicate_share(table, rng) if sample.is_whole else None,
        vocabulary_words=_vocabulary(table, sample),
        rarefied_vocabulary_words=vocabulary.rarefied(table.counts, vocabulary.RAREFIED_WORDS),
        heaps_exponent=vocabulary.heaps_exponent(table.counts),
        zipf_exponent=vocabulary.zipf_exponent(table.counts),
        idf_mean=idf_mean,
        idf_sd=idf_sd,
        type_token_ratio=vocabulary.type_token_ratio(passages),
        number_share=vocabulary.number_share(passages),
        non_latin_share=non_latin_share(passages),
        english_share=english,
        other_language_share=other,
        language_entropy_bits=entropy,
        prose_share=formats["prose"],
        table_share=formats["table"],
        code_share=formats["code"],
        markup_share=formats["markup"],
        list_share=formats["list"],
    )


def token_quantiles(tokens: np.ndarray | None) -> Quantiles:
    """The 5 %, 50 % and 95 % quantiles of lengths; of none, unknown."""
    if tokens is None or len(tokens) == 0:
        return None, None, None
    low, middle, high = np.quantile(tokens, [0.05, 0.5, 0.95])
    return float(low), float(middle), float(high)


def _tokens(documents: Sequence[Document], count_tokens: TokenCounter) -> np.ndarray:
    return np.array(count_tokens([d.text for d in documents]), dtype=np.float64)


def _total(tokens: np.ndarray, sample: CorpusSample) -> float:
    """Tokens of all documents: their characters, times tokens per character looked at."""
    seen = sum(len(d.text) for d in sample.close)
    return float(tokens.sum() * sample.characters / seen) if seen else 0.0


def _vocabulary(table: WordTable, sample: CorpusSample) -> float | None:
    if sample.read_characters == 0:
        return None
    words = len(table.ids) * sample.characters / sample.read_characters
    return vocabulary.extended_vocabulary(table.counts, words)


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
