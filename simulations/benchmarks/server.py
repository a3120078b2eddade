"""What a round costs the server: replies to a large model, added up in pairs, and as one model each.

    python -m simulations.benchmarks.server

Both ways go through Flower's own `Strategy.start` and FedAvg, with the same replies, in one process. The models of the
second way all have to be in memory at once: it is given as many replies as fit.
"""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg
from numpy.typing import NDArray
from tqdm import tqdm

from simulations.benchmarks.codec import vector_of
from simulations.experiments.command_line import add_out, parser_of
from simulations.report.benchmarks import server_table, write
from surp_fl import Layout, SuRP
from surp_fl.change import Change
from surp_fl.flower.protocol import NAME
from surp_fl.flower.records import CompressedReply, Stats, arrays_of, record_of, to_record
from surp_fl.flower.versions import address
from surp_fl.strategies import DecodeUpdates
from surp_fl.testing import InProcessGrid, as_server

Arrays = dict[str, NDArray[Any]]
Row = dict[str, Any]
_SPARE = 5  # vectors that the machine must have left beside the models
_WAYS = {"pairs": None, "models": False}


class _Answers(InProcessGrid):
    """Nodes whose answers are known before they are asked."""

    def __init__(self, messages: list[bytes]) -> None:
        super().__init__(ClientApp(), len(messages))
        self._messages = messages

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        return [self._answer(message) for message in messages]

    def _answer(self, message: Message) -> Message:
        node = message.metadata.dst_node_id
        update = CompressedReply(
            Change(self._messages[node - 1]), {"num-examples": 100 + node % 7}, Stats(0.0, 0.0, 0.0)
        )
        address(message, str(node))
        return Message(RecordDict({NAME: to_record(update)}), reply_to=message)


class _Timed(DecodeUpdates):
    """Notes what aggregation takes."""

    seconds = 0.0

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        began = time.perf_counter()
        result = super().aggregate_train(server_round, replies)
        self.seconds = time.perf_counter() - began
        return result


def replies_to(n: int, count: int, budget: int) -> tuple[Arrays, list[bytes]]:
    """A model, and messages of as many clients, all different."""
    layout, vector, model, _ = vector_of(n)
    codec = SuRP(budget=budget).codec
    rng = np.random.default_rng(0)
    messages = []
    for _ in tqdm(range(count), desc="encoding", disable=count < 100):
        start = int(rng.integers(0, n - n // 10))
        vector[start : start + n // 10] *= np.float32(rng.uniform(0.7, 1.4))
        messages.append(codec.encode(vector, layout, rng=rng, reference=model))
    return layout.floats_of(model), messages


def aggregate(arrays: Arrays, messages: list[bytes], way: str) -> tuple[float, NDArray[np.float32]]:
    """Seconds of one round's aggregation, and the model that came out."""
    count = len(messages)
    inner = FedAvg(fraction_evaluate=0.0, min_train_nodes=count, min_available_nodes=count)
    strategy = _Timed(inner, mean_alone=_WAYS[way])
    with as_server():
        result = strategy.start(grid=_Answers(messages), initial_arrays=record_of(arrays), num_rounds=1)
    assert strategy.traffic[0].failures == 0
    return strategy.seconds, Layout.of(arrays).flatten(arrays_of(result.arrays))


def memory(arrays: Arrays, messages: list[bytes], way: str) -> float:
    """Peak of what aggregation allocates beyond what was there before it, in vectors of the model's size."""
    count = len(messages)

    class Traced(_Timed):
        peak = 0

        def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Any:
            tracemalloc.start()
            try:
                return super().aggregate_train(server_round, replies)
            finally:
                self.peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()

    strategy = Traced(
        FedAvg(fraction_evaluate=0.0, min_train_nodes=count, min_available_nodes=count), mean_alone=_WAYS[way]
    )
    with as_server():
        strategy.start(grid=_Answers(messages), initial_arrays=record_of(arrays), num_rounds=1)
    return strategy.peak / sum(array.nbytes for array in arrays.values())


def measure(n: int, count: int, budget: int, repeats: int) -> list[Row]:
    """Both ways with as many replies as the models of fit in memory, in turn; then the pairs with all replies."""
    arrays, messages = replies_to(n, count, budget)
    bytes_each = sum(array.nbytes for array in arrays.values())
    fitting = min(count, _free_bytes() // bytes_each - _SPARE)
    if fitting < 1:
        raise MemoryError(f"not even one model of {n:,} coordinates fits beside {_SPARE} others: give a smaller --size")
    taken: dict[tuple[str, int], list[float]] = {}
    models = {}
    for turn in range(repeats + 1):
        for way, replies in (("models", fitting), ("pairs", fitting), ("pairs", count)):
            if turn == 0 and way == "models":
                continue  # the first turn compiles what pairs need
            gc.collect()
            seconds, models[way, replies] = aggregate(arrays, messages[:replies], way)
            if turn > 0:
                taken.setdefault((way, replies), []).append(seconds)
    apart = float(np.abs(models["models", fitting] - models["pairs", fitting]).max())
    models.clear()
    rows = []
    for (way, replies), all_seconds in taken.items():
        gc.collect()
        rows.append(
            {
                "n": n, "budget": budget, "way": way, "replies": replies, "seconds": median(all_seconds),
                "repeats": repeats, "memory_in_vectors": memory(arrays, messages[:replies], way),
                "largest_difference_to_models": apart if replies == fitting else None,
                "largest_weight": float(max(np.abs(array).max() for array in arrays.values())),
            }
        )  # fmt: skip
    return rows


def _free_bytes() -> int:
    """Memory that can be taken without swapping, and two fifths left for others and for what falls between."""
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024 * 3 // 5


def main(arguments: list[str] | None = None) -> int:
    """Measure; write bench_server.json and bench_server.md."""
    parser = parser_of("simulations.benchmarks.server", __doc__)
    parser.add_argument("--size", type=int, default=25_600_000, help="coordinates of the model (%(default)s)")
    parser.add_argument("--replies", type=int, default=1000, help="default: %(default)s")
    parser.add_argument("--budget", type=int, default=218, help="bytes of a message (%(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="counted runs of each (%(default)s)")
    add_out(parser)
    options = parser.parse_args(arguments)
    rows = measure(options.size, options.replies, options.budget, options.repeats)
    write(rows, server_table, options.out / "bench_server.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
