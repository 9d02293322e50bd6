"""What settings say, as expressions; and blocks that are the same for every framework."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from string import Template
from typing import Any


class Knobs:
    """What the settings say, as expressions over ``CONFIG``."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings

    def __contains__(self, knob: str) -> bool:
        return knob in self._settings

    @property
    def mode(self) -> str:
        """dense, lexical or hybrid; a fusion weight alone says hybrid."""
        return str(
            self._settings.get("retrieve.mode", "hybrid" if "retrieve.alpha" in self else "dense")
        )

    @property
    def reranks(self) -> bool:
        if self._settings.get("rerank.model") == "none":
            return False
        return "rerank.model" in self or "rerank.depth" in self

    @property
    def candidates(self) -> str | None:
        """How many passages are fetched, before any are reranked."""
        names = ["retrieve.k", *(["rerank.depth"] if self.reranks else [])]
        found = [f'CONFIG["{name}"]' for name in names if name in self]
        return f"max({', '.join(found)})" if len(found) > 1 else next(iter(found), None)

    @property
    def overlap(self) -> str:
        """In tokens."""
        share = "chunk.overlap" in self
        return 'int(CONFIG["chunk.tokens"] * CONFIG["chunk.overlap"])' if share else "0"

    @property
    def weights(self) -> str:
        """Of the dense and the lexical list."""
        known = "retrieve.alpha" in self
        return '[CONFIG["retrieve.alpha"], 1 - CONFIG["retrieve.alpha"]]' if known else "[0.5, 0.5]"

    def splitter(self, known: Mapping[str, str], framework: str) -> tuple[str, str]:
        """The name of a template among ``known``, and a remark where it is only the nearest."""
        wanted = self._settings.get("chunk.splitter", "recursive")
        if isinstance(wanted, str) and wanted in known:
            return known[wanted], ""
        remark = f"    # {framework} has no splitter {comment(repr(wanted))}: this is recursive.\n"
        return known["recursive"], remark


def tuned_index(knobs: Knobs, where: str) -> Iterator[str]:
    names = {"retrieve.nprobe": "nprobe", "retrieve.ef_search": "efSearch"}
    lines = [
        f'    parameters.set_index_parameter(index, "{name}", CONFIG["{knob}"])\n'
        for knob, name in names.items()
        if knob in knobs
    ]
    if lines:
        yield INDEX.substitute(where=where, lines="".join(lines))


def comment(text: str) -> str:
    """One line that is a comment and nothing else: ``coding:`` would declare an encoding."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return re.sub(r"coding(?=[:=])", "coding ", line)


CANDIDATES = Template('''
def candidates():
    """How many passages each search fetches."""
    return $candidates
''')

CONTEXTS = Template('''
def contexts($passages):
    """What goes into the prompt, of $passages ranked best first."""
    return $passages[: CONFIG["generate.contexts"]]
''')

INDEX = Template('''
def tune_index(index):
    """``index``: the faiss index, $where."""
    import faiss

    parameters = faiss.ParameterSpace()
$lines''')
