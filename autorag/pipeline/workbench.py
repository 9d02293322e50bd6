"""Many configs of one chunking of a corpus in one process: what they share is there once.

The lexical index and the token vectors stay once a config wanted them; the vectors of one embedder
and one vector index are kept at a time, so configs best come ordered by ``build_order``. A pipeline
gets exactly the parts that its config uses, as if it had been opened alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autorag.documents import Document
from autorag.errors import ConfigError
from autorag.pipeline.build import (
    BuildContext,
    Built,
    Recorder,
    add_index,
    add_lexical,
    add_tokens,
    add_vectors,
    chunked,
    uses_lexical,
)
from autorag.pipeline.lexical import LexicalSearch
from autorag.pipeline.parts import SharedParts
from autorag.pipeline.rag import Pipeline
from autorag.pipeline.space import FULL
from autorag.space import Config
from autorag.stages import stage_knobs

SHARED_PASS = "minilm-int8"
"""The embedder whose vectors come from the pass that makes the token vectors."""


class Workbench:
    """Pipelines of one chunking of one corpus.

    Args:
        config: any config with the chunk knobs.
    """

    def __init__(
        self,
        config: Config,
        documents: Sequence[Document],
        context: BuildContext,
        parts: SharedParts,
    ) -> None:
        self._context = context
        self._parts = parts
        self._chunking = stage_knobs(config, "chunk")
        self._recorder = Recorder()
        self._base = chunked(config, documents, context, self._recorder)
        self._dense = Built(self._base.chunks)
        self._embedded: dict[str, Any] = {}
        self._indexed: dict[str, Any] = {}
        self._lexical: LexicalSearch | None = None

    def pipeline(self, config: Config) -> Pipeline:
        """The config, built and ready to answer.

        Raises:
            ConfigError: it is of another chunking.
            MeasurementError: too few chunks for the index kind.
        """
        chunking = stage_knobs(config, "chunk")
        if chunking != self._chunking:
            raise ConfigError(
                f"{chunking}: this workbench holds the chunks of {self._chunking}",
                key="chunk",
                value=chunking,
            )
        built = Built(self._base.chunks)
        if config["rerank.model"] == "maxsim":
            built.tokens = self._with_tokens(config).tokens
        if uses_lexical(config):
            built.lexical = self._with_lexical()
        if config["retrieve.mode"] != "lexical":
            dense = self._with_index(config)
            built.vectors, built.index = dense.vectors, dense.index
            built.index_bytes = dense.index_bytes
        return Pipeline(config, built, self._parts)

    def cost_s(self, config: Config) -> dict[str, float]:
        """Seconds of every build (``chunk``, ``embed``, ``index``, ``lexical``, ``rerank``) of the
        config, whose pipeline was made last, as if nothing had been there."""
        used = {"chunk"}
        used |= {"lexical"} if uses_lexical(config) else set()
        used |= {"rerank"} if config["rerank.model"] == "maxsim" else set()
        used |= {"embed", "index"} if config["retrieve.mode"] != "lexical" else set()
        return {build: self._recorder.cost_s[build] for build in used}

    def _with_tokens(self, config: Config) -> Built:
        if self._base.tokens is None:
            add_tokens(self._base, config, self._context, self._recorder)
        return self._base

    def _with_lexical(self) -> LexicalSearch:
        if self._lexical is None:
            add_lexical(self._base, self._context, self._recorder)
            assert self._base.lexical is not None
            self._lexical = self._parts.lexical(self._base.lexical)
        return self._lexical

    def _with_index(self, config: Config) -> Built:
        embedded, indexed = stage_knobs(config, "embed"), stage_knobs(config, "index")
        if embedded != self._embedded:
            self._indexed = {}
            add_vectors(self._dense, config, self._context, self._recorder)
            self._embedded = embedded
        if indexed != self._indexed:
            add_index(self._dense, config, self._context, self._recorder)
            self._indexed = indexed
        return self._dense


def build_order(config: Config) -> tuple[Any, ...]:
    """Sort key that brings configs together that share vectors, then an index. The embedder whose
    vectors come from the pass that makes the token vectors is first, with the configs that want
    them."""
    return (
        config.get("embed.model") != SHARED_PASS,
        str(config.get("embed.model", "")),
        config.get("embed.dim") != FULL,
        str(config.get("embed.dim", "")),
        str(stage_knobs(config, "index")),
        config["rerank.model"] != "maxsim",
    )
