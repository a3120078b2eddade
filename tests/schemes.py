"""The table that the conformance suite runs over: a new scheme is one new row."""

from __future__ import annotations

from dataclasses import dataclass

from surp_fl import DGC, QSGD, STC, Dense, PaperSuRP, RTopK, SuRP, TopK
from surp_fl.codecs.codec import Scheme
from surp_fl.codecs.paper import l1, l2, rms


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
    Row("surp 900 B, progressive", SuRP(budget=900, progressive=True), 900),
    Row("paper 218 B", PaperSuRP(budget=218), 218),
    Row("paper 218 B, L1 scales", PaperSuRP(budget=218, scale=l1), 218),
    Row("paper 218 B, L2 scales", PaperSuRP(budget=218, scale=l2), 218),
    Row("paper 218 B, RMS scales, beta 1.5", PaperSuRP(budget=218, scale=rms, beta=1.5), 218),
    Row("stc 40 B", STC(budget=40), 40),
    Row("stc 218 B", STC(budget=218), 218),
    Row("top-k 218 B", TopK(budget=218), 218),
    Row("top-k 40 B, 16 bits", TopK(budget=40, value_bits=16), 40),
    Row("rtop-k 218 B", RTopK(budget=218, ratio=2), 218),
    Row("dgc 218 B", DGC(budget=218), 218),
    Row("dgc 99 % sparse, sampled", DGC(sparsity=0.99, sample=0.3)),
    Row("qsgd 8 bits", QSGD()),
    Row("qsgd 3 bits", QSGD(bits=3, bucket=10)),
    Row("paper 17 steps", PaperSuRP(steps=17)),
    Row("paper 99 % sparse", PaperSuRP(sparsity=0.99)),
]
