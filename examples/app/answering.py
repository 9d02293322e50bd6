"""Generating answers with one model, whichever pipeline ranked the contexts."""

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

from autorag.pipeline.build import BuildContext
from autorag.pipeline.generate import (
    CachedGenerator,
    build_prompt,
    generators,
    load_generator,
)


class Answering:
    """Keeps the generator that was used last, so that a change of what is retrieved does not load
    it again; one question at a time."""

    def __init__(self, context: BuildContext) -> None:
        self._context = context
        self._lock = Lock()
        self._loaded: tuple[Any, ...] = ()
        self._generator: CachedGenerator | None = None

    @property
    def possible(self) -> bool:
        """Whether a generator is installed."""
        return bool(generators())

    def answer(self, question: str, contexts: Sequence[str], config: Mapping[str, Any]) -> str:
        prompt = build_prompt(question, contexts)
        with self._lock:
            generator = self._generator_of(config["generate.model"], config["threads.generate"])
            return generator.complete(prompt, config["generate.max_tokens"]).text

    def close(self) -> None:
        """End the model's threads, without which the process does not end well."""
        with self._lock:
            self._generator = None

    def _generator_of(self, model: str, threads: int) -> CachedGenerator:
        if self._generator is None or self._loaded != (model, threads):
            self._generator = None
            loaded = load_generator(model, self._context.models, threads)
            self._generator = CachedGenerator(loaded, self._context.store)
            self._loaded = (model, threads)
        return self._generator
