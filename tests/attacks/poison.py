"""Poison: updates that are to ruin the model by their size.

The attacker is a client, or fewer than half of them. Promised: NaN and infinity never reach the model; an update whose
L2 norm is more than `proportion` (100) times what is usual is left out, and a minority cannot move what is usual. Not
promised: what lies within that is averaged, with the weight that the client claims, up to 1e15 examples.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from flwr.app import ConfigRecord

from surp_fl import Dense, Layout
from surp_fl.flower.protocol import NAME
from surp_fl.frame import pack
from surp_fl.memory import norm_of
from surp_fl.strategies.proportion import norm_limit, recent_medians
from tests.attacks.attack import Outcome, attacked, costs_one_reply_a_round, from_attacker, holds_still, promised
from tests.flower_app import Arrays, initial

LAYOUT = Layout.of(initial())
PROPORTION = 100.0
GROWTH, ROUNDS = 4.0, 12  # of norms, a round: from the usual one to 4 million times as much
STEP = 0.01


def mount() -> list[Outcome]:
    """Send them."""
    largest = float(np.finfo(np.float32).max)
    sizes = {"3e38": largest, "NaN": math.nan, "infinity": math.inf, "1e6 times the usual": 1e6 * STEP}
    return [*(_once(what, value) for what, value in sizes.items()), _growing(), _many(), _weight()]


def constant(value: float) -> bytes:
    """A dense message that says this number everywhere, which no encoder would take if it is not finite."""
    return pack(0, np.full(LAYOUT.size, value, "<f4").tobytes(), LAYOUT.fingerprint)


def honest(arrays: Arrays, node: int, server_round: int) -> Arrays:
    """What honest clients learn: as much in each round."""
    step = STEP * np.random.default_rng([node, server_round]).choice([-1, 1], LAYOUT.size).astype(np.float32)
    return LAYOUT.unflatten(LAYOUT.flatten(arrays) + step, {"batches": arrays["batches"]})


def _sending(message: Callable[[int], bytes]) -> Callable[[ConfigRecord], None]:
    sent: list[bytes] = []

    def change(record: ConfigRecord) -> None:
        sent.append(message(len(sent)))
        record[NAME] = sent[-1]

    return change


def _once(what: str, value: float) -> Outcome:
    run = attacked(from_attacker(_sending(lambda number: constant(value))), scheme=Dense(), learning=honest, nodes=5)
    costs_one_reply_a_round(run)
    holds_still(run)
    return Outcome(f"a dense update of {what} in each of 4 rounds, 1 of 5", "left out", "0 applied", "0 of 4")


def _growing() -> Outcome:
    """The attacker's norm grows from round to round, so that it is not much more than it was."""
    message = _sending(lambda number: constant(STEP * GROWTH**number))
    run = attacked(from_attacker(message), scheme=Dense(), learning=honest, nodes=5, rounds=ROUNDS)
    taken = run.failures.count(0)
    most = 1 + math.floor(math.log(PROPORTION) / math.log(GROWTH))
    promised(
        taken <= most, f"{taken} of its updates are taken; at most {most} are within {PROPORTION:g} times the usual"
    )
    moved = norm_of(LAYOUT.flatten(run.models[-1]) - LAYOUT.flatten(run.models[0]))
    usual = STEP * math.sqrt(LAYOUT.size)
    allowed = usual * (PROPORTION * GROWTH / (GROWTH - 1) / 5 + ROUNDS)
    promised(moved <= allowed, f"the model moved by {moved:g}")
    return Outcome(
        f"an update that grows {GROWTH:g}-fold a round, {ROUNDS} rounds, 1 of 5",
        f"left out beyond {PROPORTION:g} times the usual norm ({taken} taken)",
        f"model moves {allowed:.1f}",
        f"{moved:.1f}",
    )


def _many() -> Outcome:
    """Pure norms: 4 of 9 grow together, for 200 rounds, and drag the median as far as they can."""
    medians: tuple[float, ...] = ()
    limit = 0.0
    for number in range(200):
        norms = [1.0] * 5 + [min(2.0**number, limit or 1.0)] * 4
        limit = norm_limit(norms, medians, PROPORTION)
        medians = recent_medians(norms, medians)
    promised(limit <= PROPORTION, f"the limit is {limit:g} times an honest norm")
    return Outcome("4 of 9 clients grow together for 200 rounds", "the limit stays", "100 × honest", f"{limit:g} ×")


def _weight() -> Outcome:
    def heavy(record: ConfigRecord) -> None:
        record[NAME] = constant(STEP)
        record["num-examples"] = 1e15

    run = attacked(from_attacker(heavy), scheme=Dense(), learning=honest, nodes=5, rounds=1)
    holds_still(run)
    moved = LAYOUT.flatten(run.models[-1]) - LAYOUT.flatten(run.models[0])
    promised(
        norm_of(moved) <= PROPORTION * STEP * math.sqrt(LAYOUT.size), "the model moved by more than one update may"
    )
    share = float(moved.mean() / STEP)
    return Outcome(
        "an update of usual norm that claims 1e15 examples",
        "NOT promised: it is the mean; others count for nothing",
        "one update of 100 × usual",
        f"{100 * share:.0f} % of the mean",
    )
