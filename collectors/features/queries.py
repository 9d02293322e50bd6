"""Features of queries as text: length, kind of question, words they share with the corpus.

No gold label is looked at, except to count how many documents are relevant; no search is judged.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autorag.features import QueryFeatures
from autorag.queries import Query
from autorag.workload import Workload
from collectors.features.corpus import token_quantiles
from collectors.features.models import TokenCounter
from collectors.features.sample import BLOCK_PASSAGES, CorpusSample
from collectors.features.vocabulary import chance_of_missing
from collectors.features.words import WordTable, words

QUERIES = 500
RUNNER_UP = 10
"""The passage whose share of a query is compared with the best one's."""

QUESTION_WORDS = ("what", "who", "when", "where", "which", "why", "how")
_QUESTION_WORD = re.compile(r"\b(what|who|when|where|which|why|how)(?:m|se|'s|’s)?\b", re.I)
_AUXILIARY = re.compile(
    r"(?:is|are|was|were|am|do|does|did|has|have|had|can|could|will|would|shall|should|may|might"
    r"|must)\b",
    re.I,
)
_MARKS = ("?", "\uff1f", "\u061f", "\u2047", "\u055e")
"""Question marks: Latin, full width, Arabic, doubled, Armenian."""


def query_features(
    workload: Workload,
    asked: Sequence[Query],
    sample: CorpusSample,
    count_tokens: TokenCounter | None,
) -> QueryFeatures:
    """Features of the queries of a workload; ``asked`` are looked at, the others only counted."""
    questions = [q.question for q in asked]
    tokens = None if count_tokens is None else np.array(count_tokens(questions))
    low, middle, high = token_quantiles(tokens)
    kinds = [question_kind(q) for q in questions]
    share = {kind: kinds.count(kind) / len(kinds) for kind in (*QUESTION_WORDS, "yes_no")}
    passages = sample.table.passages()
    overlap = lexical_overlap(questions, passages) if sample.is_whole else NO_OVERLAP
    return QueryFeatures(
        queries=len(workload.queries),
        pseudo=float(workload.query_source == "pseudo"),
        query_tokens_p5=low,
        query_tokens_p50=middle,
        query_tokens_p95=high,
        question_mark_share=float(np.mean([q.rstrip().endswith(_MARKS) for q in questions])),
        what_share=share["what"],
        who_share=share["who"],
        when_share=share["when"],
        where_share=share["where"],
        which_share=share["which"],
        why_share=share["why"],
        how_share=share["how"],
        yes_no_share=share["yes_no"],
        oov_share=overlap.unknown,
        overlap_corpus=overlap.corpus,
        overlap_passage=overlap.passage,
        overlap_margin=overlap.margin,
        familiar_share=familiar_share(questions, sample.passage_table),
        relevant_per_query=_relevant_per_query(workload),
    )


def question_kind(question: str) -> str | None:
    """The first question word of a query, ``yes_no``, or None."""
    word = _QUESTION_WORD.search(question)
    if word is not None:
        return word[1].lower()
    return "yes_no" if _AUXILIARY.match(question.strip()) else None


@dataclass(frozen=True, slots=True)
class Overlap:
    """Words that queries share with a corpus, means over queries; None without any word."""

    unknown: float | None
    corpus: float | None
    passage: float | None
    margin: float | None


NO_OVERLAP = Overlap(None, None, None, None)


def lexical_overlap(questions: Sequence[str], passages: WordTable) -> Overlap:
    """How much of every question stands in the corpus, and in its best passage.

    A word's weight is its idf over passages, ``ln(1 + passages / with it)``; that of a word that no
    passage has is the highest possible. The best passage is the one with the largest weight of
    distinct words in common: BM25 without counts and lengths, as a share of what is asked.
    """
    asked = [found for q in questions if (found := sorted(set(words(q))))]
    if not asked or len(passages) == 0:
        return NO_OVERLAP
    postings = Postings.of(passages, {w for found in asked for w in found})
    rows = np.array([_shares(a, postings) for a in asked])
    missing, corpus, best, runner_up = rows.mean(axis=0)
    return Overlap(float(missing), float(corpus), float(best), float(best - runner_up))


def familiar_share(questions: Sequence[str], passages: WordTable) -> float | None:
    """Distinct words of a question that ``BLOCK_PASSAGES`` random passages are expected to have,
    mean over questions; None without a word or with fewer passages.

    Of ``n`` passages of which ``d`` have a word, a draw of ``m`` has it with chance
    ``1 - C(n - d, m) / C(n, m)``.
    """
    asked = [found for q in questions if (found := set(words(q)))]
    if not asked or len(passages) < BLOCK_PASSAGES:
        return None
    _, word = passages.incidence
    often = np.bincount(word, minlength=len(passages.vocabulary))
    chance = 1 - chance_of_missing(often, len(passages), BLOCK_PASSAGES)
    numbers = passages.number
    shares = [sum(chance[numbers[w]] for w in a if w in numbers) / len(a) for a in asked]
    return float(np.mean(shares))


@dataclass(frozen=True)
class Postings:
    """Word → numbers of the passages that have it, for the words that are asked."""

    passages: int
    rows: dict[str, np.ndarray]

    @classmethod
    def of(cls, passages: WordTable, wanted: set[str]) -> Postings:
        row, word = passages.incidence
        asked = np.zeros(len(passages.vocabulary), dtype=bool)
        asked[[passages.number[w] for w in wanted if w in passages.number]] = True
        row, word = row[asked[word]], word[asked[word]]
        order = np.argsort(word, kind="stable")
        row, word = row[order], word[order]
        starts = np.flatnonzero(np.diff(word, prepend=-1))
        parts = np.split(row, starts)[1:]
        return cls(
            len(passages),
            {passages.vocabulary[word[s]]: p for s, p in zip(starts, parts, strict=True)},
        )


def _shares(question: Sequence[str], postings: Postings) -> tuple[float, float, float, float]:
    """Of the words of one question: share that no passage has, weight that some passage has, that
    the best has, that the tenth best has."""
    total = in_corpus = np.float32(0)
    missing = 0
    scores = np.zeros(postings.passages, dtype=np.float32)
    for word in question:
        rows = postings.rows.get(word)
        weight = np.float32(np.log1p(postings.passages / (1 if rows is None else len(rows))))
        total += weight
        if rows is None:
            missing += 1
        else:
            in_corpus += weight
            scores[rows] += weight
    enough = len(scores) >= RUNNER_UP
    runner_up = np.partition(scores, -RUNNER_UP)[-RUNNER_UP] if enough else np.float32(0)
    found = [float(part / total) for part in (in_corpus, scores.max(), runner_up)]
    return missing / len(question), found[0], found[1], found[2]


def _relevant_per_query(workload: Workload) -> float | None:
    if workload.query_source == "pseudo":
        return None
    return float(np.mean([len({u.doc for u in q.units}) for q in workload.queries]))
