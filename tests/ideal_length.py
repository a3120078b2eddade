"""How long messages are beside the ideal length of their own symbols: −log2 of every probability, added up.

Run as a program with NUMBA_DISABLE_JIT=1, where every symbol passes through Python; prints the length over the ideal
for each budget.
"""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import numpy as np

from surp_fl import Layout
from surp_fl.codecs.surp import beta_binomial, encoder, index_set, index_tree
from surp_fl.codecs.surp.context_model import Context
from surp_fl.codecs.surp.rate_distortion import stretches
from surp_fl.entropy import range_coder

bits = 0.0
encode = range_coder.encode


def counted(state: Any, out: Any, start: int, size: int, total: int) -> None:
    global bits
    bits += math.log2(total / size)
    encode(state, out, start, size, total)


def length_over_ideal(budget: int) -> float:
    """Of a message with a context, on a vector that has more to say than the budget."""
    global bits
    rng = np.random.default_rng(budget)
    spread = rng.lognormal(size=(160, 1))
    vector = (spread * rng.laplace(size=(160, 250))).astype(np.float32).reshape(-1)
    model = np.repeat(spread, 250).astype(np.float32)
    before = model.copy()
    before[::50] *= np.float32(1.5)
    layout = Layout.of({"w": vector.reshape(160, 250)})
    message = encoder._Message(2, Context.of(layout, (model, before)).shared, 2 * budget)
    bits = 2.0  # the context's, told by the constructor
    chosen = stretches(vector, message._shared, 8 * (budget - 4) - 26)
    longer = message.with_more(chosen, fresh=True)
    body = longer.finished()
    assert len(body) > 0.9 * budget
    return 8 * len(body) / bits


if __name__ == "__main__":
    np.seterr(over="ignore")
    for module in (range_coder, beta_binomial, index_tree, index_set, encoder):
        module.encode = counted  # type: ignore[attr-defined]
    json.dump({budget: length_over_ideal(int(budget)) for budget in sys.argv[1:]}, sys.stdout)
