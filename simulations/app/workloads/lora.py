"""LoRA fine-tuning of the character transformer, which was pre-trained on plays that no client holds; AdamW.

Source: Hu et al. 2022, "LoRA": W x + (α / r) B A x, where A starts random, B zero, and W stays. Every linear map has
its factors, of rank 8; only they are trained and sent: 49,152 parameters.
"""

from __future__ import annotations

import math
import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from simulations.app import shakespeare
from simulations.app.kept_arrays import kept_arrays
from simulations.app.workloads.transformer import FEDERATION, Transformer
from simulations.app.workloads.workload import Workload, adamw
from surp_fl.types import Arrays

_RANK, _ALPHA = 8, 16.0
_STEPS, _BATCH, _LEARNING_RATE = 1500, 16, 0.003  # of the pre-training


class LoRALinear(nn.Module):
    """A linear map that stays, and two factors that are trained."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear
        self.factor_a = nn.Parameter(torch.empty(_RANK, linear.in_features))
        self.factor_b = nn.Parameter(torch.zeros(linear.out_features, _RANK))
        nn.init.kaiming_uniform_(self.factor_a, a=math.sqrt(5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """W x + b + (α / r) B A x."""
        found: torch.Tensor = self.linear(x) + (_ALPHA / _RANK) * ((x @ self.factor_a.T) @ self.factor_b.T)
        return found


def with_factors(model: nn.Module) -> nn.Module:
    """Let all parameters of a model stay, and give each linear map factors."""
    model.requires_grad_(False)
    linear_maps = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.Linear)
    ]
    for parent, name, child in linear_maps:
        setattr(parent, name, LoRALinear(child))
    return model


def pretrained(root: Path) -> nn.Module:
    """The transformer, trained on the other plays: kept in a folder of the user's, made the first time in minutes."""
    model = Transformer()
    model.load_state_dict({name: torch.from_numpy(array) for name, array in _weights(root).items()})
    return model


@lru_cache(maxsize=1)
def _weights(root: Path) -> Arrays:
    passages = shakespeare.other_plays(root)
    recipe = f"2 {_STEPS} {_BATCH} {_LEARNING_RATE} {zlib.crc32(passages.characters.tobytes())}"
    return kept_arrays("transformer", recipe, lambda: _pretrain(passages))


def _pretrain(passages: shakespeare.Passages) -> Arrays:
    """Train with one thread, so that the sums are the same on machines with any number of cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _pretrained_arrays(passages)
    finally:
        torch.set_num_threads(threads)


def _pretrained_arrays(passages: shakespeare.Passages) -> Arrays:
    rng = np.random.default_rng(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Transformer()
    optimizer = torch.optim.AdamW(model.parameters(), lr=_LEARNING_RATE, betas=(0.9, 0.99), fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=_STEPS, pct_start=0.1)
    for _ in tqdm(range(_STEPS), desc="pre-training the transformer on other plays", unit="step"):
        characters, following = passages.batch(rng.integers(0, len(passages.groups), _BATCH))
        loss = cross_entropy(model(characters).flatten(0, 1), following.flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return {name: value.numpy() for name, value in model.state_dict().items()}


WORKLOAD = Workload(
    "LoRA of the character transformer",
    {"shakespeare": shakespeare.roles},
    model=lambda root: with_factors(pretrained(root)),
    optimizer=adamw,
    metric="loss",
    unit="passages",
    defaults=FEDERATION | {"learning_rate": 0.003},
)
