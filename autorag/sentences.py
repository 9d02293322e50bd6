"""Where sentences end: used by the sentence and recursive splitters and by pseudo-queries."""

from __future__ import annotations

import re

_END = re.compile(r"[.!?。！？]+[\"'”’)\]]*(?=\s+[^\sa-z]|\s*$)|\n\s*\n|[。！？]")


def sentence_ends(text: str) -> list[int]:
    """Character offsets at which sentences (or paragraphs) end, the end of the text included.

    A full stop ends a sentence when white space and something that is not a lower-case letter
    follow: cheap, language-tolerant, and never wrong by losing text.
    """
    ends = [m.end() for m in _END.finditer(text)]
    return ends if ends and ends[-1] == len(text) else [*ends, len(text)]


def sentences(text: str) -> list[tuple[int, int]]:
    """``(start, end)`` of every sentence, white space stripped, empty ones dropped."""
    spans, start = [], 0
    for end in sentence_ends(text):
        piece = text[start:end]
        left = start + len(piece) - len(piece.lstrip())
        right = start + len(piece.rstrip())
        if left < right:
            spans.append((left, right))
        start = end
    return spans
