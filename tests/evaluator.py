"""A small pipeline of another stack behind an HTTP evaluator: documents ranked by shared words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from autorag.documents import Document
from autorag.space import Choice, Config, Knob, Number, Space
from tests.loopback import Loopback, Reply, Request, serving

DECLARATION = {
    "knobs": [
        {
            "name": "search.fields",
            "type": "choice",
            "values": ["title", "text"],
            "default": "title",
        },
        {"name": "search.limit", "type": "int", "low": 1, "high": 10, "default": 3},
    ]
}
SPACE = Space(
    (
        Knob("search.fields", Choice(("title", "text")), "title", None),
        Knob("search.limit", Number(1, 10, integer=True), 3, None),
    )
)
"""What is declared: searching the text finds what titles do not tell."""

Row = dict[str, Any]
Change = Callable[[Row, Row], Any]
"""Changes an answer, given the request; what it returns, if anything, is answered instead."""


def config(**knobs: Any) -> Config:
    return SPACE.config({name.replace("__", "."): value for name, value in knobs.items()})


@dataclass(frozen=True)
class WordSearch:
    """Answers as an evaluator does. Times are made up; answers are the best document's text."""

    documents: Sequence[Document]

    def evaluate(self, body: Mapping[str, Any]) -> Row:
        return {"results": [self._result(q, body) for q in body["queries"]], "memory_mb": 12.5}

    def _result(self, query: Mapping[str, str], body: Mapping[str, Any]) -> Row:
        config, wanted = body["config"], words(query["question"])
        title_only = config["search.fields"] == "title"
        hits = {
            d.id: len(wanted & words(d.title if title_only else f"{d.title} {d.text}"))
            for d in self.documents
        }
        best = sorted(hits, key=lambda doc: -hits[doc])[: config["search.limit"]]
        row: Row = {
            "id": query["id"],
            "doc_ids": best,
            "scores": [hits[doc] for doc in best],
            "stage_ms": {"retrieve": 5.0 + config["search.limit"], "rerank": 0.5},
        }
        if body.get("generate"):
            row["answer"] = next(d.text for d in self.documents if d.id == best[0])
            row["stage_ms"] |= {"ttft": 20.0, "generate": 100.0}
        return row


@contextmanager
def evaluating(
    documents: Sequence[Document], change: Change | None = None, port: int = 0
) -> Iterator[Loopback]:
    """A running evaluator, which may answer something else than it should."""
    search = WordSearch(documents)

    def handle(request: Request) -> Reply:
        if request.path != "/evaluate":
            return Reply(404, b"no such path")
        body = json.loads(request.content)
        row = search.evaluate(body)
        changed = None if change is None else change(body, row)
        if isinstance(changed, Reply):
            return changed
        content = json.dumps(row if changed is None else changed)
        return Reply(200, content.encode(), {"Content-Type": "application/json"})

    with serving(handle, port=port) as server:
        yield server


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]{3,}", text.lower()))
