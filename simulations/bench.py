"""Speed of the codec beside its peers: one process, one thread, the same vectors, in turn.

    python -m simulations.bench --sizes 431080 25000000

Each row is the median of several runs taken in turn with its peers, so that a machine that slows down slows all of
them; the ratio to `torch.topk` is what to compare between machines.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray

from surp_fl import Layout, SuRP

Vector = NDArray[np.float32]


def vector_of(n: int) -> Vector:
    """A heavy-tailed vector, as updates are: a Laplacian whose scale differs from row to row."""
    rng = np.random.default_rng(n)
    vector = rng.laplace(size=n).astype(np.float32)
    rows = np.resize(np.repeat(rng.lognormal(0, 1, size=-(-n // 800)).astype(np.float32), 800), n)
    return np.asarray(vector * rows * np.float32(1e-3))


def contenders(vector: Vector, budget: int) -> dict[str, Callable[[], object]]:
    """What is timed on a vector; ours first."""
    layout = Layout.of({"model": vector})
    codec = SuRP(budget=budget).codec
    message = codec.encode(vector, layout, rng=np.random.default_rng(0))
    tensor = torch.from_numpy(vector)
    k = int(codec.decode_sparse(message, layout)[0].size)
    return {
        f"SuRP encode, {len(message)} B": lambda: codec.encode(vector, layout, rng=np.random.default_rng(0)),
        "SuRP decode": lambda: codec.decode(message, layout),
        f"torch.topk of |v|, k = {k}": lambda: torch.topk(tensor.abs(), k),
        "floor: numpy.abs(v).sum()": lambda: np.abs(vector).sum(),
    }


def measure(n: int, budget: int, repeats: int) -> list[dict[str, object]]:
    """Time every contender on a vector of n coordinates, in turn."""
    timed = contenders(vector_of(n), budget)
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for turn in range(repeats + 1):
        for name, call in timed.items():
            began = time.perf_counter()
            call()
            if turn > 0:  # the first turn compiles and warms up
                seconds[name].append(time.perf_counter() - began)
    topk = median(next(taken for name, taken in seconds.items() if name.startswith("torch.topk")))
    return [
        {"n": n, "what": name, "ms": 1000 * median(taken), "to_topk": median(taken) / topk, "repeats": repeats}
        for name, taken in seconds.items()
    ]


def table(rows: list[dict[str, object]]) -> str:
    """Show rows as a Markdown table."""
    lines = ["| n | what | ms, median | ratio to torch.topk |", "| ---: | --- | ---: | ---: |"]
    lines += [f"| {row['n']:,} | {row['what']} | {row['ms']:.2f} | {row['to_topk']:.2f} |" for row in rows]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Time all sizes; write bench.json and bench.md."""
    parser = argparse.ArgumentParser(prog="python -m simulations.bench", description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", nargs="+", type=int, default=[431_080, 25_000_000], help="coordinates")
    parser.add_argument("--budget", type=int, default=218, help="bytes (%(default)s)")
    parser.add_argument("--repeats", type=int, default=7, help="counted runs of each (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("results"), help="output folder (%(default)s)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows = []
    for n in options.sizes:
        print(f"timing n = {n:,} ...", flush=True)
        rows += measure(n, options.budget, options.repeats)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "bench.json").write_text(json.dumps(rows, indent=1) + "\n")
    (options.out / "bench.md").write_text(table(rows))
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
