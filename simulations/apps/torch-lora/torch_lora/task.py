"""The model, its adapters and their training.

What a real app downloads, a base model that somebody trained, is trained here, in a few seconds and always the same.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

from torch_lora.text import ALPHABET, NEW, OLD, text_of

WIDTH, HEADS, BLOCKS, CONTEXT = 48, 4, 2, 32
RANK, SCALE = 4, 2.0  # of the adapters: weight + SCALE · up · down


class LoRALinear(nn.Module):
    """A linear layer whose weight is frozen, and two small matrices beside it that are trained.

    Source: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models".
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.base = nn.Linear(inputs, outputs)
        self.lora_down = nn.Parameter(torch.randn(RANK, inputs) / inputs**0.5)
        self.lora_up = nn.Parameter(torch.zeros(outputs, RANK))

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output, with the adapter's."""
        out: Tensor = self.base(x) + SCALE * (x @ self.lora_down.T) @ self.lora_up.T
        return out


class Block(nn.Module):
    """Causal self-attention and a network of one hidden layer, each beside a residual connection."""

    def __init__(self) -> None:
        super().__init__()
        self.before_attention, self.before_network = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention, self.joined = LoRALinear(WIDTH, 3 * WIDTH), LoRALinear(WIDTH, WIDTH)
        self.wide, self.narrow = LoRALinear(WIDTH, 4 * WIDTH), LoRALinear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (batch, length, WIDTH) to the same shape."""
        batch, length, _ = x.shape
        parts = self.attention(self.before_attention(x)).view(batch, length, 3, HEADS, WIDTH // HEADS)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        found = scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.joined(found.transpose(1, 2).reshape(batch, length, WIDTH))
        out: Tensor = x + self.narrow(nn.functional.gelu(self.wide(self.before_network(x))))
        return out


class Transformer(nn.Module):
    """Gives the logits of each next letter."""

    def __init__(self) -> None:
        super().__init__()
        self.letters = nn.Embedding(len(ALPHABET), WIDTH)
        self.places = nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(BLOCKS)))
        self.last = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, len(ALPHABET)))

    def forward(self, text: Tensor) -> Tensor:
        """Shape (batch, length) to (batch, length, letters of the alphabet)."""
        x = self.letters(text) + self.places(torch.arange(text.shape[1]))
        logits: Tensor = self.last(self.blocks(x))
        return logits

    def adapters(self) -> dict[str, Tensor]:
        """What is trained, sent and averaged."""
        return {name: array for name, array in self.state_dict().items() if "lora" in name}


@functools.cache
def _base() -> dict[str, Tensor]:
    torch.manual_seed(0)
    model = Transformer()
    trained = [parameter for name, parameter in model.named_parameters() if "lora" not in name]
    run_steps(model, trained, text_of(OLD, sentences=200, seed=0), steps=300, batch_size=32, learning_rate=0.003)
    return model.state_dict()


def base_model() -> Transformer:
    """The model that speaks the first language, with adapters that change nothing yet."""
    model = Transformer()
    model.load_state_dict(_base())
    return model


def model_with(adapters: dict[str, Tensor]) -> Transformer:
    """The base model with these adapters."""
    model = base_model()
    model.load_state_dict(adapters, strict=False)
    return model


def load_data(partition_id: int) -> Tensor:
    """The text of one client: 40 sentences of the second language, of 1,300 letters."""
    return text_of(NEW, sentences=40, seed=1 + partition_id)


def load_test_data() -> Tensor:
    """The text that the server tests with."""
    return text_of(NEW, sentences=100, seed=10**6)


def train(model: Transformer, text: Tensor, steps: int, batch_size: int, learning_rate: float) -> float:
    """Train the adapters in place; give the mean loss."""
    adapters = [parameter for name, parameter in model.named_parameters() if "lora" in name]
    return run_steps(model, adapters, text, steps, batch_size, learning_rate)


def run_steps(
    model: Transformer, parameters: list[nn.Parameter], text: Tensor, steps: int, batch_size: int, learning_rate: float
) -> float:
    """Train some of the parameters with AdamW; give the mean loss."""
    torch.set_num_threads(1)
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate)
    total = 0.0
    for _ in range(steps):
        starts = torch.randint(len(text) - CONTEXT, (batch_size, 1))
        pieces = text[starts + torch.arange(CONTEXT + 1)]
        optimizer.zero_grad()
        loss = _loss(model(pieces[:, :-1]), pieces[:, 1:])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += loss.item()
    return total / steps


def _loss(logits: Tensor, letters: Tensor) -> Tensor:
    return cross_entropy(logits.flatten(0, 1), letters.flatten())


def test(model: Transformer) -> tuple[float, float]:
    """Give the mean loss of a letter, and the share of letters that are predicted, on the server's text."""
    text = load_test_data()
    pieces = text[: len(text) // (CONTEXT + 1) * (CONTEXT + 1)].view(-1, CONTEXT + 1)
    with torch.no_grad():
        logits = model(pieces[:, :-1])
    return _loss(logits, pieces[:, 1:]).item(), (logits.argmax(-1) == pieces[:, 1:]).float().mean().item()
