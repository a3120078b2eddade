"""The committed inputs of the guided fuzzer: a folder for each target, a file for each input, named after its SHA-1."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path

COMMITTED = Path(__file__).parent / "corpus"
MOST_INPUTS, MOST_BYTES = 60, 14_000  # of a target: 28 of them stay below 400 kB


def write_inputs(inputs: Iterable[bytes], folder: Path) -> None:
    """Write inputs to files that are named as libFuzzer names them."""
    folder.mkdir(parents=True, exist_ok=True)
    for each in inputs:
        (folder / hashlib.sha1(each).hexdigest()).write_bytes(each)


def replace(target: str, inputs: Iterable[bytes]) -> int:
    """Replace a target's committed inputs by the smallest of these, as many as it may have; gives how many."""
    kept: list[bytes] = []
    for each in sorted(inputs, key=len):
        if len(kept) < MOST_INPUTS and sum(map(len, kept)) + len(each) <= MOST_BYTES:
            kept.append(each)
    shutil.rmtree(COMMITTED / target, ignore_errors=True)
    write_inputs(kept, COMMITTED / target)
    return len(kept)


def inputs_of(target: str) -> list[bytes]:
    """The committed inputs of a target."""
    return [path.read_bytes() for path in sorted((COMMITTED / target).iterdir())]
