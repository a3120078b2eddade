"""A small transformer whose LoRA factors clients train with AdamW: dense updates without large coordinates."""

from __future__ import annotations

import math

import numpy as np
import torch
from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy, gelu, layer_norm, scaled_dot_product_attention

from surp_fl.flower.records import arrays_of, record_of
from surp_fl.flower.versions import Mod
from tests.flower_app import Arrays

VOCABULARY, WIDTH, HEADS, LENGTH, RANK, BATCH = 512, 96, 4, 16, 32, 8
SHAPES = {
    f"{block}.{name}": shape
    for block in range(2)
    for name, shape in {
        **dict.fromkeys(("query", "key", "value", "out"), (WIDTH, WIDTH)),
        "up": (4 * WIDTH, WIDTH),
        "down": (WIDTH, 4 * WIDTH),
    }.items()
}


def _frozen() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = SHAPES | {"embedding": (VOCABULARY, WIDTH), "head": (VOCABULARY, WIDTH), "position": (LENGTH, WIDTH)}
    weights = {name: torch.randn(shape, generator=generator) / math.sqrt(WIDTH) for name, shape in shapes.items()}
    return weights | {"embedding": weights["embedding"] * math.sqrt(WIDTH)}


FROZEN = _frozen()
FOLLOWERS = np.random.default_rng(5).integers(0, VOCABULARY, (VOCABULARY, 4))  # of each token, with equal chances


def initial() -> Arrays:
    """The factors of every linear map: A is random, B zero; 110,592 parameters."""
    rng = np.random.default_rng(1)
    arrays: Arrays = {}
    for name, (outputs, inputs) in SHAPES.items():
        bound = 1 / math.sqrt(inputs)
        arrays[f"{name}.A"] = rng.uniform(-bound, bound, (RANK, inputs)).astype(np.float32)
        arrays[f"{name}.B"] = np.zeros((outputs, RANK), np.float32)
    return arrays


def _loss(factors: dict[str, Tensor], tokens: NDArray[np.int64]) -> Tensor:
    def linear(name: str, x: Tensor) -> Tensor:
        return x @ FROZEN[name].T + 2 * (x @ factors[f"{name}.A"].T) @ factors[f"{name}.B"].T

    inputs, targets = torch.from_numpy(tokens[:, :-1]), torch.from_numpy(tokens[:, 1:])
    x = FROZEN["embedding"][inputs] + FROZEN["position"]
    for block in range(2):
        normal = layer_norm(x, (WIDTH,))
        query, key, value = (
            linear(f"{block}.{name}", normal).view(len(x), LENGTH, HEADS, -1).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        attended = scaled_dot_product_attention(query, key, value, is_causal=True).transpose(1, 2).reshape(x.shape)
        x = x + linear(f"{block}.out", attended)
        x = x + linear(f"{block}.down", gelu(linear(f"{block}.up", layer_norm(x, (WIDTH,)))))
    logits = layer_norm(x, (WIDTH,)) @ FROZEN["head"].T
    return cross_entropy(logits.reshape(-1, VOCABULARY), targets.reshape(-1))


def _text(rng: np.random.Generator, lines: int) -> NDArray[np.int64]:
    tokens = np.empty((lines, LENGTH + 1), np.int64)
    tokens[:, 0] = rng.integers(0, VOCABULARY, lines)
    for place in range(LENGTH):
        tokens[:, place + 1] = FOLLOWERS[tokens[:, place], rng.integers(0, 4, lines)]
    return tokens


def test_loss(arrays: Arrays) -> float:
    """On text that no client has."""
    with torch.no_grad():
        factors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return float(_loss(factors, _text(np.random.default_rng(99), 64)))


def app_with(mods: list[Mod], steps: int = 8, learning_rate: float = 3e-3) -> ClientApp:
    app = ClientApp(mods=mods)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        node, server_round = (
            context.node_config["partition-id"],
            message.content.config_records["config"]["server-round"],
        )
        torch.set_num_threads(1)
        rng = np.random.default_rng([int(node), int(str(server_round))])
        arrays = arrays_of(message.content.array_records["arrays"])
        factors = {name: torch.from_numpy(array.copy()).requires_grad_() for name, array in arrays.items()}
        optimizer = torch.optim.AdamW(factors.values(), lr=learning_rate)
        losses = []
        for _ in range(steps):
            optimizer.zero_grad()
            loss = _loss(factors, _text(rng, BATCH))
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(float(loss.detach()))
        trained = record_of({name: factor.detach().numpy() for name, factor in factors.items()})
        metrics = MetricRecord({"num-examples": steps * BATCH, "train_loss": float(np.mean(losses))})
        return Message(RecordDict({"arrays": trained, "metrics": metrics}), reply_to=message)

    return app
