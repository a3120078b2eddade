"""The options that a federation has, each budget up with each budget down, and which of them is sensible.

Sources: a budget as a share of the model is `SuRP(ratio=...)`; the ratios of the ladder are those whose accuracy the
committed results show; clients are sent the changes that they missed up to the limits that docs/downlink.md names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from surp_fl.codecs.codec import Budgeted
from surp_fl.planning.federation import LARGEST, Federation, PlanError
from surp_fl.planning.overhead import FLOWER, Overhead
from surp_fl.planning.traffic import (
    Parcel,
    Traffic,
    as_arrays,
    as_changes,
    as_message,
    as_metrics,
    as_packed_array,
    exchange,
    round_seconds,
    sitting_out,
    transfer_seconds,
    with_polling,
)

RATIOS = (8_000, 2_000, 1_000, 100)
MORE = 0.10  # of the bytes, and of the time, that the largest sensible budget may add
RULE = (
    f"the largest budget up, then down, that takes at most {MORE:.0%} more bytes on the wire than the option with the "
    f"fewest and at most {MORE:.0%} more time than the fastest, over the run"
)
_MOST_CHANGES = 128  # that a client is sent; where it missed more, it is sent the whole model


@dataclass(frozen=True)
class Option:
    """What one choice of budgets costs, if messages and changes fill their budgets; they may be smaller.

    Of a round: a client that takes part, its first round apart, on average.

    Attributes:
        budget: bytes of a message up; None for dense FedAvg as Flower does it.
        downlink: bytes of a change down; None for the whole model in every round.
        payload_up, payload_down: bytes of a round in models and messages.
        wire_up, wire_down: bytes of a round over HTTP, polls and heartbeats included.
        transfer_seconds: of these on the client's link.
        round_seconds: training, transfer, requests and waiting.
        run_payload: bytes of the run in models and messages, both ways, for all clients.
        run_wire: bytes of the run over HTTP, both ways, for all clients; the app's bundle, first models and the polls
            of clients that sit out included.
        run_seconds: of the run, without the start of the server; all first models are taken to go down in round 1.
        fewer: how many times fewer bytes on the wire than dense.
    """

    budget: int | None
    downlink: int | None
    payload_up: float
    payload_down: float
    wire_up: float
    wire_down: float
    transfer_seconds: float
    round_seconds: float
    run_payload: float
    run_wire: float
    run_seconds: float
    fewer: float

    @property
    def wire(self) -> float:
        """Bytes of a round over HTTP, both ways."""
        return self.wire_up + self.wire_down


@dataclass(frozen=True)
class Analysis:
    """All options of a federation.

    Attributes:
        federation: that was asked about.
        dense: FedAvg without compression.
        options: by budget down, then up.
        sensible: the one that `RULE` chooses.
    """

    federation: Federation
    dense: Option
    options: tuple[Option, ...]
    sensible: Option


def ladder(parameters: int) -> tuple[int, ...]:
    """Budgets to compare: 4n / ratio bytes for each of `RATIOS`, and at least the smallest that a scheme has.

    >>> ladder(431_080)
    (215, 862, 1724, 17243)
    """
    return tuple(sorted({max(int(4 * parameters / ratio), Budgeted.SMALLEST_BUDGET) for ratio in RATIOS}))


def plan(
    federation: Federation,
    budgets: Sequence[int] = (),
    downlinks: Sequence[int | None] = (None,),
    flower: Overhead = FLOWER,
) -> Analysis:
    """Work out what each budget costs.

    Args:
        federation: its model, clients and links.
        budgets: bytes of a message up; none for the `ladder`.
        downlinks: bytes of a change down; None for the whole model in every round.
        flower: what requests cost.

    Raises:
        PlanError: a budget is out of its range, or no downlink is given.

    >>> found = plan(Federation(parameters=431_080), budgets=[218, 2000], downlinks=[None, 2000])
    >>> [(each.budget, each.downlink, round(each.fewer)) for each in found.options]
    [(218, None, 2), (2000, None, 2), (218, 2000, 114), (2000, 2000, 108)]
    """
    ups = sorted(set(budgets)) or ladder(federation.parameters)
    downs = sorted(set(downlinks), key=lambda size: (size is not None, size or 0))
    if not downs:
        raise PlanError("no downlink; expected bytes of a change, or None for whole models: give (None,)")
    for name, size in [("budget", each) for each in ups] + [("downlink", each) for each in downs if each is not None]:
        if not Budgeted.SMALLEST_BUDGET <= size <= LARGEST:
            raise PlanError(
                f"{name} = {size} bytes; the smallest useful message has {Budgeted.SMALLEST_BUDGET}, the largest here "
                f"{LARGEST:,}: give a size between them, such as 218"
            )
    dense = _option(federation, None, None, None, flower)
    options = tuple(_option(federation, up, down, dense, flower) for down in downs for up in ups)
    return Analysis(federation, dense, options, sensible_of(options))


def sensible_of(options: Sequence[Option]) -> Option:
    """Choose one by `RULE`; of two that cost the same, whole models down count as the larger budget.

    Where no option is near to both the fewest bytes and the shortest time, the one with the fewest bytes is chosen.
    """
    fewest, fastest = min(each.run_wire for each in options), min(each.run_seconds for each in options)
    near = [
        each for each in options if each.run_wire <= (1 + MORE) * fewest and each.run_seconds <= (1 + MORE) * fastest
    ] or [min(options, key=lambda each: each.run_wire)]
    return max(near, key=lambda each: (each.budget or 0, LARGEST if each.downlink is None else each.downlink))


def _option(
    federation: Federation, budget: int | None, downlink: int | None, dense: Option | None, flower: Overhead
) -> Option:
    first, later = _rounds(federation, budget, downlink, flower)
    seconds = round_seconds(later, federation, flower)
    first_seconds = round_seconds(first, federation, flower)
    first = with_polling(first, first_seconds, flower)
    usual = with_polling(later, seconds, flower)
    idle = sitting_out(seconds, flower)
    turns, new = federation.rounds * federation.taking_part, federation.newcomers
    out = federation.rounds * (federation.clients - federation.taking_part)
    run_wire = new * (first.up + first.down) + (turns - new) * (usual.up + usual.down) + out * (idle.up + idle.down)
    return Option(
        budget=budget,
        downlink=downlink,
        payload_up=later.payload_up,
        payload_down=later.payload_down,
        wire_up=usual.up,
        wire_down=usual.down,
        transfer_seconds=transfer_seconds(later, federation),
        round_seconds=seconds,
        run_payload=new * (first.payload_up + first.payload_down)
        + (turns - new) * (later.payload_up + later.payload_down),
        run_wire=run_wire,
        run_seconds=first_seconds + (federation.rounds - 1) * seconds,
        fewer=1.0 if dense is None else dense.run_wire / run_wire,
    )


def _rounds(
    federation: Federation, budget: int | None, downlink: int | None, flower: Overhead
) -> tuple[Traffic, Traffic]:
    """The exchanges of a client's first round, and of a later one."""
    whole, arrays = federation.whole_model, federation.arrays
    app = Traffic(up=flower.start_up, down=federation.app_bytes)
    if budget is None:
        model = as_arrays(whole, arrays, flower)
        later = _round(model, model, model, federation.evaluate, flower)
        return later + app, later
    message = as_message(min(budget, federation.dense_message), flower)
    packed = as_packed_array(federation.packed_model, arrays, flower)
    apart = federation.evaluate and not federation.evaluate_with_train
    if downlink is None or _too_much(federation, downlink):
        later = _round(packed, message, packed, apart, flower)
        return later + app, later
    # An evaluation brings the change that the next training would have brought: both together, what was missed.
    missed = federation.rounds_between * downlink
    change = as_changes(downlink, flower)
    usual = as_changes(missed - downlink if apart else missed, flower)
    sent = federation.packed_model if federation.first_model is None else federation.first_model
    model = as_packed_array(sent, arrays, flower) if sent else as_changes(0, flower)
    return (
        _round(model, message, change, apart, flower) + app,
        _round(usual, message, change, apart, flower),
    )


def _round(fetched: Parcel, reply: Parcel, evaluated: Parcel, evaluate: bool, flower: Overhead) -> Traffic:
    trained = exchange(fetched, reply, flower)
    return trained + exchange(evaluated, as_metrics(flower), flower) if evaluate else trained


def _too_much(federation: Federation, downlink: int) -> bool:
    """Whether what a client misses on average is more than it is sent: half the model, or 128 changes."""
    missed = federation.rounds_between
    return missed > _MOST_CHANGES or missed * downlink > federation.whole_model / 2
