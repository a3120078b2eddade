"""What has to hold after every round of a server; the accounts of clients have checks of their own in ledger.py."""

from __future__ import annotations

import numpy as np

from tests.chaos.grid import Arrived
from tests.chaos.ledger import Broken
from tests.chaos.models import COUNTER, STEPS, Arrays, is_statistic, trained

_MODEL_ROUNDING = 1e-6  # relative: the mean is summed and added in float32
_STATISTICS_ROUNDING = 1e-4  # of statistics, which are of the order of 1


def check_model(before: Arrays, after: Arrays, arrived: list[Arrived]) -> None:
    """The model moved by the weighted mean of what arrived, and by nothing else.

    Args:
        before: the model that was sent.
        after: the model of the next round.
        arrived: every reply that has to be used.

    Raises:
        Broken: not so.
    """
    if not all(np.isfinite(array).all() for array in after.values()):
        raise Broken("the model is not finite")
    weights = sum(each.weight for each in arrived)
    if not arrived:
        for name, array in before.items():
            if not np.array_equal(array, after[name]):
                raise Broken(f"no reply arrived, and {name} changed")
        return
    expected = trained(before) + sum(each.weight * each.said.sent for each in arrived) / weights
    error = np.abs(trained(after) - expected)
    scale = np.abs(trained(before)) + sum(np.abs(each.said.sent) for each in arrived)
    if not (error <= _MODEL_ROUNDING * scale).all():
        clients = [each.said.client for each in arrived]
        raise Broken(
            f"the model is not the one before plus what clients {clients} said: off by up to {error.max():.3g} at "
            f"{int((error > _MODEL_ROUNDING * scale).sum())} of {error.size} coordinates"
        )
    if int(after[COUNTER]) != int(before[COUNTER]) + STEPS:
        raise Broken(f"the counter went from {before[COUNTER]} to {after[COUNTER]}; expected {STEPS} more")
    for name in filter(is_statistic, before):
        mean = sum(each.weight * each.trained[name].astype(np.float64) for each in arrived) / weights
        if not np.allclose(after[name], mean, atol=_STATISTICS_ROUNDING):
            raise Broken(f"{name} is not the mean over clients: off by up to {np.abs(after[name] - mean).max():.3g}")


def check_received(received: set[bytes], sent: Arrays, as_it_is: bool) -> None:
    """All clients were given one model; the server's, to the bit, where it sends its model without loss.

    Raises:
        Broken: not so.
    """
    if len(received) > 1:
        raise Broken(f"clients were given {len(received)} different models in one round")
    if as_it_is and received and received != {b"".join(array.tobytes() for array in sent.values())}:
        raise Broken("clients were given another model than the server's")
