"""The server's side: a strategy around any other Flower strategy. Installed as `surp_fl.strategies`.

One round, in the order of the calls:

    decode_updates.py    the Flower strategy: configure, send, decode, aggregate
    sessions.py          the session that clients' states refer to; node_registry.py: what each node was sent
    directives.py        what each train message tells its client beside the model; budgets.py: bytes per round
    downlink/            the model on its way to clients: in full, or as deltas
    replies.py           Flower replies → parsed and decoded ones; limits.py bounds their size
    norm_check.py        updates whose norm is out of proportion are rejected; proportion.py: by which norm
    aggregation.py       decoded replies → the inner strategy; sparse_mean.py and untrained_mean.py: weighted means
    initial_model.py     the aggregate in the names, order and dtypes of the initial model

Beside it: validation.py refuses unsuitable strategies early, failures.py ends runs in which no reply is usable,
stagnation.py warns about strategies that discard sparse updates, learning.py about messages that hold too little to
learn from, round_stats.py counts bytes and seconds. around.py gives the wrapper the inner strategy's attributes, and
own_start.py runs a `start` of its own. legacy/ wraps strategies of `flwr.server`, of which translated.py says how they
aggregate; it is imported on its own.
"""

from surp_fl.strategies.budgets import ExponentialBudgetDecay
from surp_fl.strategies.decode_updates import DecodeUpdates
from surp_fl.strategies.failures import NoUsableReplyError
from surp_fl.strategies.round_stats import RoundStats

# The names of version 0.1, for code that uses them.
FallingBudget = ExponentialBudgetDecay
NoUsableReply = NoUsableReplyError
Traffic = RoundStats

__all__ = [
    "DecodeUpdates",
    "ExponentialBudgetDecay",
    "FallingBudget",
    "NoUsableReply",
    "NoUsableReplyError",
    "RoundStats",
    "Traffic",
]
