"""Turns the weights of all-MiniLM-L6-v2, or of an encoder made from it, into an ONNX graph. Knows no files and no text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from rung.workload import Precision

Weights = Mapping[str, NDArray[np.float32]]
Ranges = Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]]

WIDTH = 384
HEAD = 32  # the width of one attention head
_EPSILON = 1e-12
_CONTRIB = "com.microsoft"  # ONNX Runtime's own operators: fused attention, layer norms, GELU, int8 products
_OPSET = 20
_IR_VERSION = 10
# Seven bits, not eight: on processors without VNNI two products of a full int8 weight and a uint8 state overflow 16 bits,
# and the same file would give other embeddings there.
_LARGEST_WEIGHT = 63
_OUTLIERS = 16  # channels of a state that stay float32; measured: 8 is too few, 32 is no better
_BLOCK = 32  # int4: weights that share a scale
_INT8_ACTIVATIONS = 4  # int4: states are quantised too, each row by itself, so that no text depends on the others


@dataclass(slots=True)
class _Graph:
    precision: Precision
    ranges: Ranges
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
        if self.precision == "int8":
            return self._multiply_int8(states, name, weight, *self.ranges[states])
        if self.precision == "int4":
            return self._multiply_int4(states, name, weight)
        return self.add("MatMul", [states, self.constant(f"{name}.weight", weight)], f"{name}.product")

    def _multiply_int8(
        self, states: str, name: str, weight: NDArray[np.float32], low: NDArray[np.float32], high: NDArray[np.float32]
    ) -> str:
        # A few channels reach ten times the rest and would cost all others their precision: those stay float32
        # (Dettmers et al. 2022, LLM.int8(), section 3.2). The scale is fixed, not taken from the batch, so that an embedding
        # does not depend on the texts beside it.
        outliers = np.sort(np.argsort(np.maximum(-low, high))[-_OUTLIERS:])
        low, high, inner = np.delete(low, outliers), np.delete(high, outliers), weight.copy()
        inner[outliers] = 0
        step = np.array(max((max(high.max(), 0) - min(low.min(), 0)) / 255, 1e-9), np.float32)
        zero = np.rint(-min(low.min(), 0) / step).astype(np.uint8)
        steps = np.maximum(np.abs(inner).max(axis=0), 1e-9) / _LARGEST_WEIGHT
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

    def _multiply_int4(self, states: str, name: str, weight: NDArray[np.float32]) -> str:
        depth, width = weight.shape
        blocks = np.zeros((width, -(-depth // _BLOCK) * _BLOCK), np.float32)
        blocks[:, :depth] = weight.T
        blocks = blocks.reshape(width, -1, _BLOCK)
        # The value farthest from zero becomes -8 exactly: four bits hold one more negative number than positive ones.
        extreme = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=2, keepdims=True), axis=2)
        steps = np.where(extreme == 0, np.float32(1), extreme / np.float32(-8))
        values = np.clip(np.rint(blocks / steps) + 8, 0, 15).astype(np.uint8)
        inputs = [
            states,
            self.constant(f"{name}.weight", values[..., 0::2] | values[..., 1::2] << 4),
            self.constant(f"{name}.steps", steps[..., 0]),
        ]
        sizes = {"K": depth, "N": width, "bits": 4, "block_size": _BLOCK, "accuracy_level": _INT8_ACTIVATIONS}
        return self.add("MatMulNBits", inputs, f"{name}.product", _CONTRIB, **sizes)

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


def count_layers(weights: Weights) -> int:
    """How many layers the weights have; two at least. Heads and inner width are each layer's own."""
    layers = {int(name.split(".")[2]) for name in weights if name.startswith("encoder.layer.")}
    if len(layers) < 2 or layers != set(range(len(layers))):
        raise ValueError(f"an encoder needs at least two layers, numbered from 0; these weights have {sorted(layers)}")
    return len(layers)


def read_states(layers: int) -> tuple[int, int, int]:
    """After how many layers a token's states are read out: the last, and two earlier ones as far apart as can be; of six
    layers 2, 4 and 6. Zero is the embedding of the tokens."""
    apart = max(layers // 3, 1)
    return layers - 2 * apart, layers - apart, layers


def build(weights: Weights, precision: Precision = "float32", ranges: Ranges | None = None) -> bytes:
    """The serialised model: `input_ids` and `attention_mask` [batch, sequence] int64 to `embedding` [batch, 384] float32.

    The embedding is the mean of the last states over the mask, scaled to length one. Three more outputs [batch, sequence, 384]
    are each token's states along the way, from the earliest to the last (`read_states`), copied out only where they are asked
    for. A float32 model has one more output for each state that it multiplies. For int8 `ranges` gives the smallest and the
    largest value of every channel of those states, by the output's name. int4 is four bits a weight in blocks of 32.
    """
    graph = _Graph(precision, ranges or {})
    mask = graph.add("Cast", ["attention_mask"], "mask", to=TensorProto.INT32)
    states = [_embed_tokens(graph, weights)]
    for layer in range(count_layers(weights)):
        states.append(_add_layer(graph, weights, f"encoder.layer.{layer}", states[-1], mask))
    _pool(graph, states[-1])
    shown = [states[after] for after in read_states(len(states) - 1)]
    tokens = [helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "sequence"]) for n in ("input_ids", "attention_mask")]
    outputs = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", WIDTH])]
    shape = ["batch", "sequence", WIDTH]
    outputs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in shown]
    if precision == "float32":
        shape = ["batch", "sequence", None]
        others = [name for name in graph.multiplied if name not in shown]
        outputs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in others]
    body = helper.make_graph(graph.nodes, "all-MiniLM-L6-v2", tokens, outputs, graph.tensors)
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_CONTRIB, 1)]
    return helper.make_model(body, opset_imports=opsets, ir_version=_IR_VERSION).SerializeToString()


def _embed_tokens(graph: _Graph, weights: Weights) -> str:
    words = weights["embeddings.word_embeddings.weight"]
    if graph.precision != "float32":  # one step per word: a quarter of the memory for an error of 0.00003 in the cosine
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
    count = len(weights[f"{heads[0]}.weight"]) // HEAD
    context = graph.add("MultiHeadAttention", [*heads, bias, mask], f"{name}.context", _CONTRIB, num_heads=count)
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
