"""The questions of the demo workload, written by hand the way people ask.

They name the documents that answer them by public dotted name, so they fit the corpus of
:func:`autorag.demo.stdlib_docs.stdlib_documents` on every supported Python version.
"""

import json
from importlib import resources
from typing import Any

QUESTIONS_FILE = "questions.jsonl"


def demo_questions() -> list[dict[str, Any]]:
    """Return the questions in file order.

    Each one has ``id``, ``question`` and ``relevant`` (the ids of the documents that answer it);
    some have ``answers``, phrases that stand verbatim in one of those documents.
    """
    text = resources.files(__package__).joinpath(QUESTIONS_FILE).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines() if line.strip()]
