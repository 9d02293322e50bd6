"""What the apps read, and what they are asked unless told otherwise."""

import importlib
import inspect
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MODULES = ("bisect", "fnmatch", "glob", "heapq", "shutil", "tempfile", "textwrap")
"""Their functions' documentation is the default corpus."""

SHORTEST = 80
"""Characters; shorter documentation says little."""

QUESTIONS = (
    "How do I copy a whole directory tree?",
    "How do I keep a list sorted while inserting items?",
    "Which function returns the n largest items?",
    "How can I remove common leading whitespace from every line?",
)


@dataclass(frozen=True)
class Document:
    id: str
    text: str


def read_documents(path: Path | None) -> list[Document]:
    """The ``.txt`` and ``.md`` files of a folder, the lines of a ``.jsonl`` of
    ``{"id", "title"?, "text"}``, or, without a path, documentation of the standard library."""
    if path is None:
        return list(_docstrings())
    if path.is_dir():
        files = sorted(f for f in path.rglob("*") if f.suffix in {".txt", ".md"})
        return [Document(str(f.relative_to(path)), f.read_text(encoding="utf-8")) for f in files]
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [Document(r["id"], "\n".join(filter(None, (r.get("title"), r["text"])))) for r in rows]


def _docstrings() -> Iterator[Document]:
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        for name, function in inspect.getmembers(module, inspect.isroutine):
            text = inspect.getdoc(function) or ""
            if not name.startswith("_") and len(text) >= SHORTEST:
                yield Document(f"{module_name}.{name}", f"{module_name}.{name}: {text}")
