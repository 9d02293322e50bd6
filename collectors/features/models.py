"""The models that features are computed with: cheap ones, the same for every workload."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

TokenCounter = Callable[[Sequence[str]], Sequence[int]]
"""Texts to numbers of tokens."""

Encoder = Callable[[Sequence[str]], np.ndarray]
"""Texts to unit vectors, float32 ``(n, dim)``."""


@dataclass(frozen=True, slots=True)
class FeatureModels:
    """None: not on this machine."""

    count_tokens: TokenCounter | None
    encode: Encoder | None


def installed_models(models: Path) -> FeatureModels:
    """The tokenizer that chunks are counted with, and the static embedder if it was made before
    in the folder ``models``."""
    from autorag.pipeline.embedders import EMBEDDERS, Static, static_folder
    from autorag.pipeline.packages import MINILM, installed
    from autorag.pipeline.tokens import token_counts

    count_tokens = token_counts if installed(MINILM) and installed("tokenizers") else None
    if not EMBEDDERS["static"].installed or not static_folder(models).is_dir():
        return FeatureModels(count_tokens, None)
    static = Static(static_folder(models))
    return FeatureModels(count_tokens, lambda texts: static.encode_documents(texts, len(texts)))
