"""Low-rank adapters on the dense layers of a body, by PEFT. Knows nothing about gold.

Hu, Shen, Wallis, Allen-Zhu, Li, Wang, Wang and Chen 2021, "LoRA" (arXiv:2106.09685).
"""

from __future__ import annotations

from typing import Any, cast

import peft  # pyright: ignore[reportMissingTypeStubs]
from peft.tuners.tuners_utils import BaseTunerLayer  # pyright: ignore[reportMissingTypeStubs]

from rung.training.body import Body

RANK = 16
ALPHA = 32  # over the rank: how loudly adapters speak
DROPOUT = 0.05
_PLACES = ("query", "key", "value", "dense")


def adapt(body: Body) -> None:
    """Give every dense layer an adapter, and leave nothing else to be trained."""
    config = peft.LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=DROPOUT, target_modules=list(_PLACES))
    cast(Any, peft).inject_adapter_in_model(config, body)


def merge(body: Body) -> None:
    """Add what the adapters have learnt to the layers' own weights, and take the adapters away."""
    for owner in list(body.modules()):
        for name, layer in list(owner.named_children()):
            if isinstance(layer, BaseTunerLayer):
                cast(Any, layer).merge()
                cast(Any, owner)[name] = layer.get_base_layer()
