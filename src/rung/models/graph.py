"""Turns the weights of all-MiniLM-L6-v2 into an ONNX graph, float32 or int8. Knows nothing about files, caches or text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Weights = Mapping[str, NDArray[np.float32]]
Ranges = Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]]

WIDTH = 384
_LAYERS = 6
_HEADS = 12
_EPSILON = 1e-12
STATES = tuple(f"encoder.layer.{layer}.output.states" for layer in (1, 3, 5))  # what a token means after 2, 4 and 6 layers
_CONTRIB = "com.microsoft"  # ONNX Runtime's own operators: fused attention, layer norms, GELU, int8 products
_OPSET = 20
_IR_VERSION = 10
# Seven bits, not eight: on processors without VNNI two products of a full int8 weight and a uint8 state overflow 16 bits,
# and the same file would give other embeddings there.
_LARGEST_WEIGHT = 63
_OUTLIERS = 16  # channels of a state that stay float32; measured: 8 is too few, 32 is no better


@dataclass(slots=True)
class _Graph:
    ranges: Ranges | None
    nodes: list[onnx.NodeProto] = field(default_factory=list[onnx.NodeProto])
    tensors: list[onnx.TensorProto] = field(default_factory=list[onnx.TensorProto])
    multiplied: list[str] = field(default_factory=list[str])

    def constant(self, name: str, values: NDArray[Any]) -> str:
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def add(self, operator: str, inputs: Sequence[str], output: str, domain: str = "", **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], domain=domain, **attributes))
        return output

    def multiply(self, states: str, name: str, weight: NDArray[np.float32]) -> str:
        """`states @ weight`; the bias is left to the fused operator that follows."""
        self.multiplied.append(states)
        if self.ranges is None:
            return self.add("MatMul", [states, self.constant(f"{name}.weight", weight)], f"{name}.product")
        return self._multiply_int8(states, name, weight, *self.ranges[states])

    def _multiply_int8(
        self, states: str, name: str, weight: NDArray[np.float32], low: NDArray[np.float32], high: NDArray[np.float32]
    ) -> str:
        # A few channels reach ten times the rest and would cost all others their precision: those stay float32
        # (Dettmers et al. 2022, LLM.int8(), section 3.2). The scale is fixed, not taken from the batch, so that an embedding
        # does not depend on the texts beside it.
        outliers = np.sort(np.argsort(np.maximum(-low, high))[-_OUTLIERS:])
        low, high, inner = np.delete(low, outliers), np.delete(high, outliers), weight.copy()
        inner[outliers] = 0
        step = np.array((max(high.max(), 0) - min(low.min(), 0)) / 255, np.float32)
        zero = np.rint(-min(low.min(), 0) / step).astype(np.uint8)
        steps = np.abs(inner).max(axis=0) / _LARGEST_WEIGHT
        scale, offset = self.constant(f"{name}.step", step), self.constant(f"{name}.zero", zero)
        inputs = [
            self.add("QuantizeLinear", [states, scale, offset], f"{name}.int8"),
            self.constant(f"{name}.weight", np.rint(inner / steps).astype(np.int8)),
            scale,
            self.constant(f"{name}.steps", steps),
            offset,
            self.constant(f"{name}.zeros", np.zeros(len(steps), np.int8)),
        ]
        small = self.add("MatMulIntegerToFloat", inputs, f"{name}.product.int8", _CONTRIB)
        picked = self.add("Gather", [states, self.constant(f"{name}.outliers", outliers)], f"{name}.outlying", axis=-1)
        rest = self.constant(f"{name}.weight.outlying", weight[outliers])
        large = self.add("MatMul", [picked, rest], f"{name}.product.outlying")
        return self.add("Add", [small, large], f"{name}.product")

    def normalise(self, states: str, residual: str, weights: Weights, name: str) -> str:
        inputs = [
            states,
            residual,
            self.constant(f"{name}.gain", weights[f"{name}.LayerNorm.weight"]),
            self.constant(f"{name}.shift", weights[f"{name}.LayerNorm.bias"]),
        ]
        if f"{name}.dense.bias" in weights:
            inputs.append(self.constant(f"{name}.bias", weights[f"{name}.dense.bias"]))
        return self.add("SkipLayerNormalization", inputs, f"{name}.states", _CONTRIB, epsilon=_EPSILON)


def build(weights: Weights, ranges: Ranges | None = None) -> bytes:
    """The serialised model: `input_ids` and `attention_mask` [batch, sequence] int64 to `embedding` [batch, 384] float32.

    The embedding is the mean of the last states over the mask, scaled to length one; `STATES` [batch, sequence, 384] are each
    token's states along the way, copied out only where they are asked for. Without `ranges` the model is float32 and
    has one more output for each state that it multiplies; with the smallest and the largest value of every channel of those
    states, by the output's name, it is int8.
    """
    graph = _Graph(ranges)
    mask = graph.add("Cast", ["attention_mask"], "mask", to=TensorProto.INT32)
    states = _embed_tokens(graph, weights)
    for layer in range(_LAYERS):
        states = _add_layer(graph, weights, f"encoder.layer.{layer}", states, mask)
    _pool(graph, states)
    tokens = [helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "sequence"]) for n in ("input_ids", "attention_mask")]
    outputs = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", WIDTH])]
    shape = ["batch", "sequence", WIDTH]
    outputs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in STATES]
    if ranges is None:
        shape = ["batch", "sequence", None]
        others = [name for name in graph.multiplied if name not in STATES]
        outputs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in others]
    body = helper.make_graph(graph.nodes, "all-MiniLM-L6-v2", tokens, outputs, graph.tensors)
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_CONTRIB, 1)]
    return helper.make_model(body, opset_imports=opsets, ir_version=_IR_VERSION).SerializeToString()


def _embed_tokens(graph: _Graph, weights: Weights) -> str:
    words = weights["embeddings.word_embeddings.weight"]
    if graph.ranges is not None:  # one step per word: a quarter of the memory for an error of 0.00003 in the cosine
        steps = np.abs(words).max(axis=1, keepdims=True) / 127
        table = graph.constant("words", np.rint(words / steps).astype(np.int8))
        rows = graph.add("Cast", [graph.add("Gather", [table, "input_ids"], "words.int8")], "words.cast", to=TensorProto.FLOAT)
        scale = graph.add("Gather", [graph.constant("words.steps", steps), "input_ids"], "words.scale")
        picked = graph.add("Mul", [rows, scale], "words.picked")
    else:
        picked = graph.add("Gather", [graph.constant("words", words), "input_ids"], "words.picked")
    # Every text is segment 0, so its row of the segment table belongs to each position.
    positions = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    length = graph.add("Shape", ["input_ids"], "length", start=1)
    first = graph.constant("first", np.array([0]))
    places = graph.add("Slice", [graph.constant("positions", positions), first, length], "positions.picked")
    return graph.normalise(picked, places, weights, "embeddings")


def _add_layer(graph: _Graph, weights: Weights, name: str, states: str, mask: str) -> str:
    heads = [f"{name}.attention.self.{part}" for part in ("query", "key", "value")]
    joined = graph.multiply(states, heads[0], np.concatenate([weights[f"{head}.weight"].T for head in heads], axis=1))
    graph.nodes.append(helper.make_node("Split", [joined], heads, axis=-1, num_outputs=3))
    bias = graph.constant(f"{name}.attention.bias", np.concatenate([weights[f"{head}.bias"] for head in heads]))
    context = graph.add("MultiHeadAttention", [*heads, bias, mask], f"{name}.context", _CONTRIB, num_heads=_HEADS)
    attended = f"{name}.attention.output"
    states = graph.normalise(_apply_dense(graph, weights, attended, context), states, weights, attended)
    inner = _apply_dense(graph, weights, f"{name}.intermediate", states)
    bias = graph.constant(f"{name}.intermediate.bias", weights[f"{name}.intermediate.dense.bias"])
    inner = graph.add("BiasGelu", [inner, bias], f"{name}.intermediate.gelu", _CONTRIB)
    return graph.normalise(_apply_dense(graph, weights, f"{name}.output", inner), states, weights, f"{name}.output")


def _apply_dense(graph: _Graph, weights: Weights, name: str, states: str) -> str:
    return graph.multiply(states, f"{name}.dense", weights[f"{name}.dense.weight"].T)


def _pool(graph: _Graph, states: str) -> None:
    # The sum over the mask is the mean up to a factor, which scaling to length one takes away.
    middle = graph.constant("middle", np.array([1]))
    mask = graph.add("Cast", ["attention_mask"], "mask.float", to=TensorProto.FLOAT)
    total = graph.add("MatMul", [graph.add("Unsqueeze", [mask, middle], "mask.row"), states], "total")
    graph.add("LpNormalization", [graph.add("Squeeze", [total, middle], "total.flat")], "embedding", axis=-1, p=2)
