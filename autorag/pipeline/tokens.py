"""The one tokenizer that chunks are counted with, whatever the embedder.

WordPiece of MiniLM (BERT's vocabulary), lower-cased. Counting with a fixed tokenizer keeps
chunking independent of the embedder: changing the embedder re-chunks nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from autorag.hashing import bytes_address
from autorag.pipeline.packages import minilm_tokenizer_file

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@lru_cache(maxsize=1)
def tokenizer() -> Tokenizer:
    """The tokenizer, without truncation, padding or special tokens."""
    from tokenizers import Tokenizer

    loaded = Tokenizer.from_file(str(minilm_tokenizer_file()))
    loaded.no_truncation()
    loaded.no_padding()
    return loaded


@lru_cache(maxsize=1)
def tokenizer_id() -> str:
    """Identifies the tokenizer in artifact keys."""
    return bytes_address(minilm_tokenizer_file().read_bytes())


def token_counts(texts: Sequence[str]) -> list[int]:
    """Number of tokens of each text."""
    return [len(e) for e in tokenizer().encode_batch_fast(list(texts), add_special_tokens=False)]
