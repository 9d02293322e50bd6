"""Arithmetic and memory traffic of the pipeline's stages, whatever the machine.

Operations count a multiply-add as two. Bytes are what an operator must read and write when it keeps
its intermediate results in cache: weights once, inputs, outputs. Attention is counted that way too
(FlashAttention, Dao et al., 2022): ``Q``, ``K``, ``V`` and ``O``, never the ``L×L`` matrix.
Normalisation, activation functions and softmax are left out: their operations are few. Amounts that
vary between configs may be arrays ``(n,)``; the work is then that of each.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from models.analytic.columns import Floats

Amount = TypeVar("Amount", float, Floats)

FLOAT_BYTES = 4
LINK_BYTES = 4
"""A neighbour's number in an HNSW list."""


@dataclass(frozen=True, slots=True)
class Work(Generic[Amount]):
    """Operations and bytes of one unit of a stage (a text, a query, a vector, a token)."""

    operations: Amount
    bytes: Amount

    @property
    def intensity(self) -> Amount:
        """Operations a byte."""
        return self.operations / self.bytes

    def __add__(self, other: Work[Amount] | Work[float]) -> Work[Amount]:
        return Work(self.operations + other.operations, self.bytes + other.bytes)

    def times(self, count: Amount | float) -> Work[Amount]:
        """The work of so many units, one after the other."""
        return Work(self.operations * count, self.bytes * count)


@dataclass(frozen=True, slots=True)
class Encoder:
    """A BERT encoder: ``weight_bytes`` a parameter as they lie in memory when it runs."""

    layers: int
    hidden: int
    ffn: int
    weight_bytes: float

    @property
    def layer_parameters(self) -> int:
        """Of the projections Q, K, V, O and of the two of the feed-forward part."""
        return 4 * self.hidden**2 + 2 * self.hidden * self.ffn


@dataclass(frozen=True, slots=True)
class Decoder:
    """A language model with grouped-query attention and a gated feed-forward part.

    ``layer_weight_bytes`` and ``output_weight_bytes`` are bytes a parameter of the layers and of
    the output matrix; ``kv_bytes`` of an element of the key-value cache.
    """

    layers: int
    hidden: int
    ffn: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    layer_weight_bytes: float
    output_weight_bytes: float
    kv_bytes: float

    @property
    def query_width(self) -> int:
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        return self.kv_heads * self.head_dim

    @property
    def layer_parameters(self) -> int:
        """Of Q and O, of K and V, and of gate, up and down."""
        projections = 2 * self.hidden * (self.query_width + self.kv_width)
        return projections + 3 * self.hidden * self.ffn

    @property
    def output_parameters(self) -> int:
        return self.hidden * self.vocabulary

    @property
    def weights(self) -> float:
        """Bytes of all weights that one step reads."""
        layers = self.layers * self.layer_parameters * self.layer_weight_bytes
        return layers + self.output_parameters * self.output_weight_bytes


MINILM = Encoder(layers=6, hidden=384, ffn=1536, weight_bytes=FLOAT_BYTES)
"""MiniLM-L6, also the one packaged in int8: onnxruntime folds its weights to float32 on loading."""

GEMMA_270M = Decoder(
    layers=18,
    hidden=640,
    ffn=2048,
    heads=4,
    kv_heads=1,
    head_dim=256,
    vocabulary=262_144,
    layer_weight_bytes=0.679,
    output_weight_bytes=34 / 32,
    kv_bytes=2,
)
"""gemma3-270m Q4_K_M, as its GGUF header says. Layers are Q5_0, Q4_K, Q6_K and Q8_0 blocks: 68.1 MB
for 100.3 million parameters; the output matrix, shared with the embedding, is Q8_0 (34 bytes for 32
parameters)."""


def attention(
    queries: Amount | float,
    keys: Amount,
    query_width: int,
    kv_width: int,
    query_bytes: float,
    kv_bytes: float,
) -> Work[Amount]:
    """One layer's attention of ``queries`` positions over ``keys`` positions.

    ``4 · Lq · Lkv · D`` operations (scores and weighted sum; nothing is skipped for causality) and
    the bytes of Q, K, V and O: ``2 · Lq · D · b + 2 · Lkv · D_kv · b_kv``.
    """
    moved = 2 * queries * query_width * query_bytes + 2 * keys * kv_width * kv_bytes
    return Work(4.0 * queries * keys * query_width, moved)


def encode(model: Encoder, windows: Iterable[int]) -> Work[float]:
    """Windows of these lengths through an encoder, one after the other."""
    return sum((window(model, float(length)) for length in windows), Work(0.0, 0.0))


def window(model: Encoder, length: Amount) -> Work[Amount]:
    """A window of ``L`` tokens through an encoder.

    Per layer ``2 · P · L`` operations for the linear maps, which read their ``P`` weights and read
    and write ``8 · H + 2 · F`` activations a token (Q, K and V from one input); and attention.
    """
    activations = length * (8 * model.hidden + 2 * model.ffn) * FLOAT_BYTES
    weights = model.layer_parameters * model.weight_bytes
    linear = Work(2.0 * model.layer_parameters * length, weights + activations)
    width = model.hidden
    mixing = attention(length, length, width, width, FLOAT_BYTES, FLOAT_BYTES)
    return (linear + mixing).times(model.layers)


def prefill(model: Decoder, tokens: Amount) -> Work[Amount]:
    """Reading a prompt in one batch.

    Per layer ``2 · P · L`` operations, its weights, the activations in and out of its maps
    (``4 · H + 2 · D + 2 · D_kv + 3 · F`` a token), and attention; then the output matrix, for the
    last token only.
    """
    q, kv, hidden, ffn = model.query_width, model.kv_width, model.hidden, model.ffn
    activations = tokens * (4 * hidden + 2 * q + 2 * kv + 3 * ffn) * FLOAT_BYTES
    weights = model.layer_parameters * model.layer_weight_bytes
    linear = Work(2.0 * model.layer_parameters * tokens, weights + activations)
    layer = linear + attention(tokens, tokens, q, kv, FLOAT_BYTES, model.kv_bytes)
    return layer.times(model.layers) + _output(model)


def decode(model: Decoder, context: Amount) -> Work[Amount]:
    """Writing one token after ``context`` tokens: all weights and the key-value cache are read."""
    weights = model.layer_parameters * model.layer_weight_bytes
    linear = Work(2.0 * model.layer_parameters, weights)
    width, kv = model.query_width, model.kv_width
    layer = attention(1, context, width, kv, FLOAT_BYTES, model.kv_bytes) + linear
    return layer.times(model.layers) + _output(model)


def flat_scan(vectors: Amount, dim: Amount) -> Work[Amount]:
    """Inner products of a query with float32 vectors: ``2 · d`` operations and ``4 · d`` bytes
    each."""
    return Work(2.0 * dim, 4.0 * dim).times(vectors)


def pq_scan(vectors: Amount, sub_quantisers: Amount) -> Work[Amount]:
    """Fast-scan of 4-bit codes (André et al., 2015): one look-up and addition a sub-quantiser, half
    a byte each; the tables stay in registers."""
    return Work(1.0 * sub_quantisers, sub_quantisers / 2).times(vectors)


def hnsw(distances: float, dim: int) -> Work[float]:
    """Distances of a walk: as in a flat scan, at random places, each found through a link."""
    return Work(2.0 * dim, 4.0 * dim + LINK_BYTES).times(distances)


def bm25(postings: Amount) -> Work[Amount]:
    """Scores are precomputed: an addition a posting, which reads chunk number and score (4 bytes
    each), and reads and writes the chunk's sum (4 bytes each)."""
    return Work(1.0 * postings, 16.0 * postings)


def maxsim(query_tokens: float, chunk_tokens: Amount, dim: int) -> Work[Amount]:
    """A query and chunk pair: ``2 · Lq · Lc · d`` operations; the chunk's token vectors in int8 and
    the query's in float32 are read."""
    moved = chunk_tokens * dim + FLOAT_BYTES * query_tokens * dim
    return Work(2.0 * query_tokens * chunk_tokens * dim, moved)


def _output(model: Decoder) -> Work[float]:
    parameters = model.output_parameters
    return Work(2.0 * parameters, parameters * model.output_weight_bytes)
