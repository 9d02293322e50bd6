"""The int8 roof: onnxruntime's ``MatMulInteger`` of uint8 activations with int8 weights.

Chosen because it is the operation of models whose activations are quantised too, in the runtime
that the pipeline's embedder uses, through a public interface (torch's ``_int_mm`` is private, numpy
has none). The packaged MiniLM is *not* such a model: its weights are int8 on disk, and onnxruntime
folds them to float32 when it loads it, so the float32 roof is its own. llama.cpp's products of
quantised weights with int8 activations are bound by this one.

The model is one node with constant weights, written as ONNX protobuf here: no library is needed to
make it (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto has the field numbers).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from autorag.pipeline.packages import installed
from collectors.hardware.roofline import SEED, gemm_size
from collectors.hardware.sampling import Probe, Sampling, Setting, taking

UINT8, INT8, INT32 = 2, 3, 6
"""ONNX element types."""

OPSET = 13


def matrix_product_model(weights: np.ndarray) -> bytes:
    """ONNX model ``c = a · weights``: uint8 ``a`` and int8 weights ``(n, n)``, int32 ``c``."""
    n = len(weights)
    node = _text(1, "a") + _text(1, "b") + _text(2, "c") + _text(4, "MatMulInteger")
    dims = _number(1, n) + _number(1, n)
    constant = dims + _number(2, INT8) + _text(8, "b") + _bytes(9, weights.tobytes())
    graph = (
        _bytes(1, node)
        + _text(2, "g")
        + _bytes(5, constant)
        + _bytes(11, _tensor("a", UINT8, n))
        + _bytes(12, _tensor("c", INT32, n))
    )
    return _number(1, 8) + _bytes(7, graph) + _bytes(8, _number(2, OPSET))


def gemm_int8(setting: Setting) -> Iterator[Sampling]:
    """Products of square matrices; a multiply-add is two operations."""
    import onnxruntime

    n = gemm_size(setting)
    rng = np.random.default_rng(SEED)
    weights = rng.integers(-127, 128, (n, n), dtype=np.int8)
    feeds = {"a": rng.integers(0, 128, (n, n), dtype=np.uint8)}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = setting.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        matrix_product_model(weights), options, providers=["CPUExecutionProvider"]
    )
    name = f"gemm_int8_{setting.span}_gops"
    run = partial(session.run, None, feeds)
    yield Sampling(taking(name, run, 2e-9 * n**3, setting), f"n = {n}")


def lacks_onnxruntime(_: Setting) -> str | None:
    return None if installed("onnxruntime") else "onnxruntime is not installed"


def probe(span: str) -> Probe:
    return Probe("int8 matrix product", (f"gemm_int8_{span}_gops",), gemm_int8, lacks_onnxruntime)


def _tensor(name: str, element: int, n: int) -> bytes:
    """ValueInfoProto of an ``(n, n)`` tensor."""
    shape = _bytes(1, _number(1, n)) * 2
    return _text(1, name) + _bytes(2, _bytes(1, _number(1, element) + _bytes(2, shape)))


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _bytes(field: int, value: bytes) -> bytes:
    """A protobuf field of wire type 2."""
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _number(field: int, value: int) -> bytes:
    """A protobuf field of wire type 0."""
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    head = b""
    while value > 127:
        head += bytes([value & 127 | 128])
        value >>= 7
    return head + bytes([value])
