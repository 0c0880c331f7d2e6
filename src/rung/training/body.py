"""The encoder as PyTorch layers, to be trained: weights in, weights out. The same computation as `models.graph`.

Knows nothing about gold. Modules bear the names of all-MiniLM-L6-v2's tensors, so that what is learnt is saved as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from rung.models.encoder import WORDS
from rung.models.graph import HEAD, WIDTH, count_layers, read_states

DROPOUT = 0.1
_EPSILON = 1e-12


class Body(nn.Module):
    """Tokens to embeddings and states. The words' own vectors stay as they are: gold shows few of 30,522."""

    def __init__(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """Raises ValueError for weights of fewer than two layers."""
        super().__init__()
        tables = {"word": weights[WORDS], "position": weights["embeddings.position_embeddings.weight"]}
        tables["token_type"] = weights["embeddings.token_type_embeddings.weight"]
        embeddings = {f"{name}_embeddings": nn.Embedding(*table.shape) for name, table in tables.items()}
        self.embeddings = nn.ModuleDict({**embeddings, "LayerNorm": nn.LayerNorm(WIDTH, _EPSILON)})
        names = [f"encoder.layer.{layer}" for layer in range(count_layers(weights))]
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(_Layer(weights, name) for name in names)})
        held = self.state_dict()
        self.load_state_dict({name: torch.from_numpy(weights[name].copy()) for name in held})  # pyright: ignore[reportUnknownMemberType]
        for name in ("word_embeddings", "token_type_embeddings"):
            self.embeddings[name].requires_grad_(False)

    @property
    def layers(self) -> list[_Layer]:
        """From the first to the last."""
        return list(cast(Any, self.encoder["layer"]))

    def forward(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """From `tokens` and `mask` [batch, sequence] the embeddings [batch, 384], of length one, and each token's states along
        the way, side by side as `Encoder.read` gives them [batch, sequence, 1152]."""
        along = self.along(tokens, mask)
        embedding = functional.normalize((along[-1] * mask[..., None]).sum(dim=1), dim=-1)
        return embedding, torch.cat([along[after] for after in read_states(len(along) - 1)], dim=-1)

    def along(self, tokens: Tensor, mask: Tensor) -> list[Tensor]:
        """Each token's states [batch, sequence, 384] before the first layer and after each."""
        positions = cast(Tensor, self.embeddings["position_embeddings"].weight)[: tokens.shape[1]]
        segment = cast(Tensor, self.embeddings["token_type_embeddings"].weight)[0]
        states = self.embeddings["LayerNorm"](self.embeddings["word_embeddings"](tokens) + positions + segment)
        found = [functional.dropout(states, DROPOUT, self.training)]
        bias = torch.zeros_like(mask).masked_fill(mask == 0, -1e9)[:, None, None, :]
        for layer in self.layers:
            found.append(layer(found[-1], bias))
        return found

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """Every tensor by its name."""
        return {name: tensor.detach().numpy().copy() for name, tensor in self.state_dict().items()}


class _Layer(nn.Module):
    """One layer of whatever width its weights have: pruned ones have fewer heads or a narrower inside."""

    def __init__(self, weights: Mapping[str, NDArray[np.float32]], name: str) -> None:
        super().__init__()

        def dense(part: str) -> nn.Linear:
            width, depth = weights[f"{name}.{part}.weight"].shape
            return nn.Linear(depth, width)

        def output(part: str) -> nn.ModuleDict:
            return nn.ModuleDict({"dense": dense(f"{part}.dense"), "LayerNorm": nn.LayerNorm(WIDTH, _EPSILON)})

        heads = {part: dense(f"attention.self.{part}") for part in ("query", "key", "value")}
        self.attention = nn.ModuleDict({"self": nn.ModuleDict(heads), "output": output("attention.output")})
        self.intermediate = nn.ModuleDict({"dense": dense("intermediate.dense")})
        self.output = output("output")

    def forward(self, states: Tensor, bias: Tensor) -> Tensor:
        query, key, value = (self._heads(part, states) for part in ("query", "key", "value"))
        context: Tensor = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        context = context.transpose(1, 2).flatten(2)
        states = self._join(cast(nn.ModuleDict, self.attention["output"]), self.shown(context, "context"), states)
        inner = self.shown(functional.gelu(self.intermediate["dense"](states)), "inner")
        return self._join(self.output, inner, states)

    def shown(self, states: Tensor, place: str) -> Tensor:
        """What passes here, [batch, sequence, width]: where pruning listens (`place` is "context" or "inner")."""
        return states

    def _heads(self, part: str, states: Tensor) -> Tensor:
        found: Tensor = cast(nn.ModuleDict, self.attention["self"])[part](states)
        return found.view(*found.shape[:2], -1, HEAD).transpose(1, 2)

    def _join(self, output: nn.ModuleDict, states: Tensor, residual: Tensor) -> Tensor:
        return output["LayerNorm"](functional.dropout(output["dense"](states), DROPOUT, self.training) + residual)
