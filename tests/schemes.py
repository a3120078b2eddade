"""The table that the conformance suite runs over: a new scheme is one new row."""

from __future__ import annotations

from dataclasses import dataclass

from surp_fl import STC, Dense, SuRP
from surp_fl.client import Scheme
from surp_fl.codecs.surp import l1, l2, rms


@dataclass(frozen=True)
class Row:
    name: str
    scheme: Scheme
    budget: int | None = None  # bytes

    def __str__(self) -> str:
        return self.name


SCHEMES = [
    Row("dense", Dense()),
    Row("surp 40 B", SuRP(budget=40), 40),
    Row("surp 218 B", SuRP(budget=218), 218),
    Row("surp 218 B, L1 scales", SuRP(budget=218, scale=l1), 218),
    Row("surp 218 B, L2 scales", SuRP(budget=218, scale=l2), 218),
    Row("surp 218 B, RMS scales, beta 1.5", SuRP(budget=218, scale=rms, beta=1.5), 218),
    Row("stc 40 B", STC(budget=40), 40),
    Row("stc 218 B", STC(budget=218), 218),
    Row("surp 17 steps", SuRP(steps=17)),
    Row("surp 99 % sparse", SuRP(sparsity=0.99)),
]
