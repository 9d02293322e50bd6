"""The command line of the apps, and the line of JSON that they print for every question."""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from opentelemetry.sdk.trace import TracerProvider

from parts.documents import QUESTIONS
from parts.stopwatch import Stopwatch


@dataclass(frozen=True)
class Answer:
    """What an app found; passages by id, best first."""

    text: str
    retrieved: Sequence[str]
    reranked: Sequence[str]


def command_line(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("questions", nargs="*", default=QUESTIONS)
    parser.add_argument("--docs", type=Path, help="a folder of .txt and .md files, or a .jsonl")
    parser.add_argument("--k", type=int, default=8, help="passages to retrieve")
    parser.add_argument("--keep", type=int, default=3, help="passages to answer from")
    return parser


def ask(
    questions: Sequence[str],
    answer: Callable[[str], Answer],
    watch: Stopwatch,
    provider: TracerProvider,
) -> None:
    """Ask one question after the other, each in a trace of its own, then send the last spans."""
    tracer = provider.get_tracer("examples")
    for question in questions:
        watch.reset()
        with watch.stage("total"), tracer.start_as_current_span("question") as span:
            found = answer(question)
        line = {
            "question": question,
            "trace_id": f"{span.get_span_context().trace_id:032x}",
            "stages": watch.stages,
            "first_token_ms": watch.first_token_ms,
            "counts": {
                "documents": len(found.retrieved),
                "reranked": len(found.reranked),
                **watch.usage,
            },
            "ids": {"retrieved": found.retrieved, "reranked": found.reranked},
            "answer": found.text,
        }
        print(json.dumps(line), flush=True)
    provider.shutdown()
