"""A character transformer on Shakespeare's plays: a client for each speaking role, AdamW.

Four blocks of width 96, pre-normalised, with a causal attention of four heads; the output layer is the embedding:
462,912 parameters.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from simulations.app import shakespeare
from simulations.app.shakespeare import CHARACTERS, LENGTH
from simulations.app.workloads.workload import Workload, adamw

_WIDTH, _HEADS, _BLOCKS = 96, 4, 4
FEDERATION = {
    "clients": shakespeare.ROLES, "clients_per_round": 10, "partition": "groups", "local_steps": 10, "batch_size": 8,
    "test_every": 5,
}  # fmt: skip


class Block(nn.Module):
    """Attention to earlier characters, and a perceptron; each beside the identity."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(_WIDTH)
        self.qkv = nn.Linear(_WIDTH, 3 * _WIDTH)
        self.out = nn.Linear(_WIDTH, _WIDTH)
        self.mlp_norm = nn.LayerNorm(_WIDTH)
        self.up = nn.Linear(_WIDTH, 4 * _WIDTH)
        self.down = nn.Linear(4 * _WIDTH, _WIDTH)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Shape (batch, length, width), in and out."""
        heads = self.qkv(self.attention_norm(hidden)).unflatten(2, (3, _HEADS, -1)).permute(2, 0, 3, 1, 4)
        found = scaled_dot_product_attention(heads[0], heads[1], heads[2], is_causal=True)
        hidden = hidden + self.out(found.transpose(1, 2).flatten(2))
        changed: torch.Tensor = hidden + self.down(gelu(self.up(self.mlp_norm(hidden))))
        return changed


class Transformer(nn.Module):
    """Characters, shape (batch, LENGTH), to logits of those that follow, shape (batch, LENGTH, characters)."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(CHARACTERS), _WIDTH)
        self.position = nn.Parameter(torch.randn(LENGTH, _WIDTH) * 0.02)
        self.blocks = nn.Sequential(*(Block() for _ in range(_BLOCKS)))
        self.norm = nn.LayerNorm(_WIDTH)
        nn.init.normal_(self.embedding.weight, std=0.05)

    def forward(self, characters: torch.Tensor) -> torch.Tensor:
        """Give the logits."""
        hidden = self.embedding(characters) + self.position
        logits: torch.Tensor = self.norm(self.blocks(hidden)) @ self.embedding.weight.T
        return logits


WORKLOAD = Workload(
    "character transformer",
    {"shakespeare": shakespeare.roles},
    model=lambda root: Transformer(),
    optimizer=adamw,
    metric="loss",
    unit="passages",
    defaults=FEDERATION | {"learning_rate": 0.003},
)
