"""The language model: an OpenAI-compatible endpoint if ``OPENAI_BASE_URL`` is set, else extraction.

Both read a prompt and stream the answer in pieces; the last piece carries the token counts.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from parts.minilm import MiniLm

PROMPT = "Answer the question from the context only.\n\nContext:\n{context}\n\nQuestion: {question}"
MAX_ANSWER_TOKENS = 100


@dataclass(frozen=True)
class Piece:
    """Some text of an answer; ``usage`` as OpenAI's API names it."""

    text: str
    usage: dict[str, int] | None = None


class LanguageModel(Protocol):
    name: str

    def stream(self, prompt: str) -> Iterator[Piece]: ...


def language_model(minilm: MiniLm) -> LanguageModel:
    return Endpoint() if os.environ.get("OPENAI_BASE_URL") else Extraction(minilm)


class Extraction:
    """Answers a :data:`PROMPT` with that sentence of its context whose vector is nearest to the
    question's. Tokens are MiniLM's."""

    name = "extraction"

    def __init__(self, minilm: MiniLm) -> None:
        self._minilm = minilm

    def stream(self, prompt: str) -> Iterator[Piece]:
        before, _, question = prompt.rpartition("Question:")
        context = before.partition("Context:")[2]
        sentences = [s for s in re.split(r"(?<=[.?!])\s+|\n\s*\n", context) if s.strip()]
        vectors = np.array(self._minilm.embed([question, *sentences]))
        answer = " ".join(sentences[int(np.argmax(vectors[1:] @ vectors[0]))].split())
        for word in re.findall(r"\S+\s*", answer):
            yield Piece(word)
        yield Piece("", _usage(len(self._minilm.tokens(prompt)), len(self._minilm.tokens(answer))))


class Endpoint:
    """A chat model behind ``OPENAI_BASE_URL``, with ``OPENAI_API_KEY`` and ``OPENAI_MODEL``."""

    def __init__(self) -> None:
        from openai import OpenAI

        self.name = os.environ.get("OPENAI_MODEL", "default")
        self._client = OpenAI(api_key=os.environ.get("OPENAI_API_KEY", "none"))

    def stream(self, prompt: str) -> Iterator[Piece]:
        chunks = self._client.chat.completions.create(
            model=self.name,
            messages=[{"role": "user", "content": prompt}],
            max_tokens=MAX_ANSWER_TOKENS,
            stream=True,
            stream_options={"include_usage": True},
        )
        for chunk in chunks:
            text = chunk.choices[0].delta.content if chunk.choices else None
            usage = chunk.usage and _usage(chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
            yield Piece(text or "", usage)


def _usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    total = prompt_tokens + completion_tokens
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": total,
    }
