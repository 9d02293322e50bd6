"""Languages of passages: by script, and among Latin scripts by function words.

Crude and cheap: it tells English from other languages and from text without sentences, which is
what matters to embedders and analysers made for English. It is no identification of languages.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np

from collectors.features.words import WordTable

LEAST_SHARE, LEAST_WORDS = 0.06, 2
"""Distinct function words a passage must have, as a share of its distinct words and in number, for
its language to be told."""

FUNCTION_WORDS = {
    "english": "the of and to in is was for that with as on by are be this from which it not an or",
    "german": "der das und ist nicht ein eine zu den mit von auf für sich dem auch wird aus bei",
    "french": "le la les et des est une du que dans pour qui sur au pas avec sont cette il ou",
    "spanish": "el la los las es una del que en por con para al como su más lo entre sus fue",
    "italian": "il di che è un una con del della sono gli nel alla si da dei delle nella più ed",
    "portuguese": "em um uma que não para com é dos das na por ao sua são mais pelo pela foi",
    "dutch": "de het een en van niet te dat met voor zijn aan er ook als bij wordt naar uit",
}
"""The most frequent words that are not words of code or of another language on the list."""

_SCRIPTS = (
    (0x41, "latin"),
    (0x370, "greek"),
    (0x400, "cyrillic"),
    (0x530, "other"),
    (0x590, "hebrew"),
    (0x600, "arabic"),
    (0x700, "other"),
    (0x8A0, "arabic"),
    (0x900, "indic"),
    (0xE00, "thai"),
    (0xE80, "other"),
    (0x1100, "hangul"),
    (0x1200, "other"),
    (0x1E00, "latin"),
    (0x1F00, "greek"),
    (0x2000, "other"),
    (0x3040, "kana"),
    (0x3100, "han"),
    (0xA000, "other"),
    (0xAC00, "hangul"),
    (0xD7B0, "other"),
    (0xF900, "han"),
    (0xFB00, "latin"),
    (0xFB1D, "hebrew"),
    (0xFB50, "arabic"),
    (0xFF00, "latin"),
    (0xFF66, "kana"),
    (0xFFA0, "other"),
    (0x20000, "han"),
)
"""First code point → script, by blocks of Unicode."""

SCRIPTS = tuple(dict.fromkeys(name for _, name in _SCRIPTS))
LANGUAGES = (*FUNCTION_WORDS, *SCRIPTS)
"""What a passage can be in: a language of Latin script, or another script (``latin`` itself:
undecided)."""


def script(word: str) -> int:
    """Number of the script of a word's first letter, or -1 when it has none."""
    letter = next((c for c in word if c.isalpha()), None)
    if letter is None:
        return -1
    place = bisect_right(_SCRIPTS, (ord(letter), "\uffff")) - 1
    return SCRIPTS.index(_SCRIPTS[max(place, 0)][1])


def scripts(table: WordTable) -> np.ndarray:
    """The script of every word of the vocabulary, int ``(vocabulary,)``."""
    return np.array([script(word) for word in table.vocabulary], dtype=np.int64)


def non_latin_share(table: WordTable) -> float | None:
    """Words of another script than Latin, among words with letters."""
    of = scripts(table)
    lettered = table.counts[of >= 0].sum()
    latin = table.counts[of == SCRIPTS.index("latin")].sum()
    return float(1 - latin / lettered) if lettered else None


def passage_languages(passages: WordTable) -> np.ndarray:
    """Place in ``LANGUAGES`` of every passage's language, -1 for passages without letters."""
    row, word = passages.incidence
    size = len(passages)
    written = _tally(row, scripts(passages)[word], size, len(SCRIPTS))
    total, main = written.sum(axis=1), written.argmax(axis=1)
    # Japanese mixes both; Chinese has no kana.
    kana = written[:, SCRIPTS.index("kana")] > 0.05 * total
    main[kana & (main == SCRIPTS.index("han"))] = SCRIPTS.index("kana")
    masks = _function_words(passages)
    hits = np.stack([np.bincount(row, mask[word], size) for mask in masks], axis=1)
    told = hits.max(axis=1) >= np.maximum(LEAST_WORDS, LEAST_SHARE * total)
    latin = main == SCRIPTS.index("latin")
    language = np.where(latin & told, hits.argmax(axis=1), len(FUNCTION_WORDS) + main)
    return np.where(total > 0, language, -1)


def language_mix(
    passages: WordTable,
) -> tuple[float, float, float | None] | tuple[None, None, None]:
    """Share of English, share of other known languages, entropy (bits) of the known ones."""
    languages = passage_languages(passages)
    counts = np.bincount(languages[languages >= 0], minlength=len(LANGUAGES)).astype(float)
    total = counts.sum()
    if total == 0:
        return None, None, None
    counts[len(FUNCTION_WORDS) + SCRIPTS.index("latin")] = 0
    english, known = float(counts[0]), float(counts.sum())
    shares = counts[counts > 0] / known if known else counts[:0]
    entropy = float(abs(-(shares * np.log2(shares)).sum())) if known else None
    return english / total, (known - english) / total, entropy


def _function_words(table: WordTable) -> list[np.ndarray]:
    """Per language, which words of the vocabulary are its function words."""
    masks = []
    for listed in FUNCTION_WORDS.values():
        mask = np.zeros(len(table.vocabulary))
        mask[[table.number[w] for w in listed.split() if w in table.number]] = 1.0
        masks.append(mask)
    return masks


def _tally(rows: np.ndarray, kinds: np.ndarray, height: int, width: int) -> np.ndarray:
    """How often each kind (negative: none) stands in each row, int64 ``(height, width)``."""
    known = kinds >= 0
    cells = rows[known] * width + kinds[known]
    return np.bincount(cells, minlength=height * width).reshape(height, width)
