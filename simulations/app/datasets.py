"""What every dataset offers: training and test examples in batches of tensors, and how to divide them among clients."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, Protocol, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

DATA_ROOT_VARIABLE = "SURP_FL_DATA"
_DRAWS = 1000  # of a division, until every client has an example


class DataMissing(RuntimeError):  # noqa: N818
    """A dataset is neither on disk nor to be downloaded."""


class Examples(Protocol):
    """Examples of one kind."""

    @property
    def groups(self) -> NDArray[np.int64]:
        """The label of each image, or the role of each piece of text: what a partition goes by; shape (count,)."""
        ...

    def batch(self, chosen: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """The inputs of some examples, and the classes that a model shall find."""
        ...

    def part(self, chosen: NDArray[np.int64]) -> Self:
        """Some of the examples."""
        ...


E = TypeVar("E", bound=Examples, covariant=True)


@dataclass(frozen=True)
class Dataset(Generic[E]):
    """Training and test examples."""

    name: str
    train: E
    test: E


def data_root(given: str = "") -> Path:
    """Where datasets lie: what was given, or the environment variable SURP_FL_DATA, or data/."""
    return Path(given or os.environ.get(DATA_ROOT_VARIABLE, "") or "data").expanduser().resolve()


def held_out_of(whole: Dataset[E], count: int) -> Dataset[E]:
    """Let training examples that nobody trains with take the place of the test examples: for tuning.

    Raises:
        ValueError: no examples are left to train with.
    """
    examples = len(whole.train.groups)
    if not 0 < count < examples:
        raise ValueError(f"{count} held-out examples of {examples} training examples")
    order = np.random.default_rng(0).permutation(examples)
    test, train = (whole.train.part(np.sort(part)) for part in (order[:count], order[count:]))
    return replace(whole, train=train, test=test)


def partition(groups: NDArray[np.int64], clients: int, how: str, seed: int) -> list[NDArray[np.int64]]:
    """Divide the training examples among clients.

    Args:
        groups: of the training examples, shape (count,).
        clients: number of parts.
        how: `iid`, equal parts at random; `dirichlet:ALPHA`, each group by shares drawn from Dirichlet(ALPHA), one for
            each client; `label-skew:ALPHA`, equal parts, each client's groups by shares drawn from Dirichlet(ALPHA)
            (Hsu, Qi, Brown 2019, arXiv 1909.06335); or `groups`, a client for each group.
        seed: of the division.

    Returns:
        The indices of each client's examples.

    Raises:
        ValueError: no such division, more clients than examples, or another number of clients than of groups.
    """
    if clients < 1 or clients > len(groups):
        raise ValueError(f"{clients} clients for {len(groups)} examples")
    rng = np.random.default_rng([seed, 1])
    if how == "iid":
        return [np.sort(part) for part in np.array_split(rng.permutation(len(groups)), clients)]
    if how == "groups":
        found = np.unique(groups)
        if len(found) != clients:
            raise ValueError(f"{clients} clients; this dataset has {len(found)} groups: give --clients {len(found)}")
        return [np.flatnonzero(groups == group) for group in found]
    kind, _, alpha = how.partition(":")
    if kind not in ("dirichlet", "label-skew") or not alpha:
        raise ValueError(
            f"partition '{how}'; expected iid, groups, dirichlet:ALPHA or label-skew:ALPHA, such as dirichlet:0.5"
        )
    if kind == "label-skew":
        return _skewed(groups, clients, float(alpha), rng)
    for _ in range(_DRAWS):  # until no client is left without examples
        parts: list[list[NDArray[np.int64]]] = [[] for _ in range(clients)]
        for group in np.unique(groups):
            members = rng.permutation(np.flatnonzero(groups == group))
            shares = rng.dirichlet(np.full(clients, float(alpha)))
            cuts = (np.cumsum(shares)[:-1] * len(members)).astype(np.int64)
            for part, piece in zip(parts, np.split(members, cuts), strict=True):
                part.append(piece)
        divided = [np.sort(np.concatenate(part)) for part in parts]
        if min(len(part) for part in divided) > 0:
            return divided
    raise ValueError(
        f"partition '{how}': in each of {_DRAWS} draws some of the {clients} clients had no example; expected fewer "
        f"clients or a larger ALPHA; label-skew:{alpha} gives all of them as many"
    )


def _skewed(groups: NDArray[np.int64], clients: int, alpha: float, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Parts of equal size, or one more; a client whose group is used up takes from those that are left."""
    left = [rng.permutation(np.flatnonzero(groups == group)) for group in np.unique(groups)]
    parts = []
    for size in [len(part) for part in np.array_split(groups, clients)]:
        shares = rng.dirichlet(np.full(len(left), alpha))
        taken: list[NDArray[np.int64]] = []
        while missing := size - sum(len(part) for part in taken):
            there = np.array([len(group) > 0 for group in left])
            now = np.where(there, np.maximum(shares, 1e-9), 0)
            for place, count in enumerate(rng.multinomial(missing, now / now.sum())):
                taken.append(left[place][:count])
                left[place] = left[place][count:]
        parts.append(np.sort(np.concatenate(taken)))
    return parts
