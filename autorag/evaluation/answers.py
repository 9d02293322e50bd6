"""Answer metrics as in SQuAD 1.1 (Rajpurkar et al., 2016): exact match and token F1, the best over
the gold answers, after lower-casing and removing punctuation, articles and extra white space."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """The normal form in which answers are compared."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def answer_em(answer: str, gold: Sequence[str]) -> float:
    """1 when the answer equals a gold answer in normal form, else 0."""
    return float(any(normalise(answer) == normalise(g) for g in gold))


def answer_f1(answer: str, gold: Sequence[str]) -> float:
    """The best token F1 over the gold answers."""
    return max((_f1(normalise(answer).split(), normalise(g).split()) for g in gold), default=0.0)


def _f1(answer: list[str], gold: list[str]) -> float:
    if not answer or not gold:
        return float(answer == gold)
    same = sum((Counter(answer) & Counter(gold)).values())
    if same == 0:
        return 0.0
    precision, recall = same / len(answer), same / len(gold)
    return 2 * precision * recall / (precision + recall)
