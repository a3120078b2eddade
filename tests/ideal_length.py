"""The length of messages over the ideal length of their symbols, the sum of −log2 of every probability.

Run as a program with SURP_FL_PURE_PYTHON=1, where every symbol passes through Python; prints the length over the ideal
for each budget.
"""

from __future__ import annotations

import json
import math
import sys

import numpy as np

from surp_fl import Layout
from surp_fl.codecs.surp import encoder
from surp_fl.codecs.surp.context_model import Context
from surp_fl.codecs.surp.rate_distortion import select_groups
from surp_fl.entropy.range_coder import RangeEncoder

bits = 0.0
encode = RangeEncoder.encode


def counted(self: RangeEncoder, cum_freq: int, freq: int, total_freq: int) -> None:
    global bits
    bits += math.log2(total_freq / freq)
    encode(self, cum_freq, freq, total_freq)


def length_over_ideal(budget: int) -> float:
    """Of a message with a context, for a vector that would fill a larger budget."""
    global bits
    rng = np.random.default_rng(budget)
    spread = rng.lognormal(size=(160, 1))
    vector = (spread * rng.laplace(size=(160, 250))).astype(np.float32).reshape(-1)
    model = np.repeat(spread, 250).astype(np.float32)
    before = model.copy()
    before[::50] *= np.float32(1.5)
    layout = Layout.of({"w": vector.reshape(160, 250)})
    message = encoder.begun(2, Context.of(layout, (model, before)).side, 2 * budget)
    bits = 2.0  # of the context, which `begun` writes
    chosen = select_groups(vector, message._side, 8 * (budget - 4) - 26)
    longer = message.with_groups(chosen, disjoint=True)
    body = longer.to_bytes()
    assert len(body) > 0.9 * budget
    return 8 * len(body) / bits


if __name__ == "__main__":
    RangeEncoder.encode = counted  # type: ignore[method-assign]
    json.dump({budget: length_over_ideal(int(budget)) for budget in sys.argv[1:]}, sys.stdout)
