"""What answers queries beside the indexes: embedders, rerankers, generators, loaded for a config.

``Parts`` loads for one pipeline. ``SharedParts`` keeps what it loaded, for many pipelines of one
process. Both can be replaced by a subclass, which is how a table of many configs is measured.
"""

from __future__ import annotations

from pathlib import Path

from autorag.hashing import address
from autorag.pipeline.build import BuildContext, Built, load_embedder
from autorag.pipeline.embedders import EMBEDDERS, Embedder, Transformer, int8_embedder
from autorag.pipeline.generate import CachedGenerator, Generator, load_generator
from autorag.pipeline.lexical import LexicalSearch
from autorag.pipeline.rerank import CrossEncoder, LexicalReranker, MaxSim, Reranker
from autorag.pipeline.space import NO_RERANKER
from autorag.pipeline.transformer import TransformerEncoder, int8_encoder
from autorag.space import Config


class Parts:
    """Loads the parts of one pipeline."""

    def __init__(self, context: BuildContext) -> None:
        self._context = context

    def embedder(self, config: Config, built: Built) -> Embedder:
        """The embedder of queries."""
        return load_embedder(config, built.chunks, self._context, int(config["threads.embed"]))

    def reranker(self, config: Config, built: Built, embedder: Embedder | None) -> Reranker | None:
        """The config's reranker, or None where it has none."""
        model, threads = str(config["rerank.model"]), int(config["threads.rerank"])
        if model == NO_RERANKER:
            return None
        if model == "bm25":
            assert built.lexical is not None
            return LexicalReranker(built.lexical)
        if model == "maxsim":
            assert built.tokens is not None
            encoder = _same_encoder(config, embedder) or self.token_encoder(threads)
            return MaxSim(encoder, built.tokens)
        return CrossEncoder(Path(model), lambda row: built.chunks.texts[row], threads)

    def token_encoder(self, threads: int) -> TransformerEncoder:
        """The encoder that late interaction needs."""
        return int8_encoder(threads)

    def generator(self, config: Config) -> Generator:
        """The config's generator; known prompts are answered from the store."""
        loaded = load_generator(
            str(config["generate.model"]), self._context.models, int(config["threads.generate"])
        )
        return CachedGenerator(loaded, self._context.store)


class SharedParts(Parts):
    """Loads every model once, also one that serves two purposes. Generators answer every prompt
    anew, so that times are of now."""

    def __init__(self, context: BuildContext) -> None:
        super().__init__(context)
        self._embedders: dict[str, Embedder] = {}
        self._encoders: dict[int, TransformerEncoder] = {}
        self._generators: dict[tuple[str, int], Generator] = {}

    def embedder(self, config: Config, built: Built) -> Embedder:
        name = str(config["embed.model"])
        revision = EMBEDDERS[name].revision(built.chunks)
        key = address([dict(revision), config["threads.embed"]])
        if key not in self._embedders:
            self._embedders[key] = self._load(config, built)
        return self._embedders[key]

    def token_encoder(self, threads: int) -> TransformerEncoder:
        if threads not in self._encoders:
            self._encoders[threads] = super().token_encoder(threads)
        return self._encoders[threads]

    def generator(self, config: Config) -> Generator:
        key = (str(config["generate.model"]), int(config["threads.generate"]))
        if key not in self._generators:
            self._generators[key] = load_generator(key[0], self._context.models, key[1])
        return self._generators[key]

    def lexical(self, lexical: LexicalSearch) -> LexicalSearch:
        """The lexical index as it is asked."""
        return lexical

    def _load(self, config: Config, built: Built) -> Embedder:
        if config["embed.model"] == "minilm-int8":
            return int8_embedder(self.token_encoder(int(config["threads.embed"])))
        return super().embedder(config, built)


def _same_encoder(config: Config, embedder: Embedder | None) -> TransformerEncoder | None:
    """The embedder's encoder, when it is the one that late interaction needs: a query then passes
    the model once."""
    same = config.get("embed.model") == "minilm-int8"
    if same and config["threads.rerank"] == config["threads.embed"]:
        assert isinstance(embedder, Transformer)
        return embedder.encoder
    return None
