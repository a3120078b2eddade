"""Memory bomb: a short message, section or file that says that it holds a huge one.

The attacker is a client, whose bytes the server decodes; or someone who sends models to clients, or files to anyone.
Every one of the bytes has checks that hold. Promised: memory of decoding one message is bounded by the model and the
message's length, whatever it claims; what a model file claims is compared with a limit before anything is allocated.
"""

from __future__ import annotations

import binascii
import json
import struct
import zlib
from collections.abc import Callable
from functools import partial

import numpy as np
from flwr.app import Array, ArrayRecord

from surp_fl import Layout, lossless, model_file
from surp_fl.codecs import READERS, SCHEMES
from surp_fl.flower.packed_model import unpack_model
from surp_fl.frame import HEADER_BYTES, pack
from surp_fl.integer_arrays import read_integers
from surp_fl.merged_change import apply_merged
from surp_fl.statistics_section import read_statistics
from tests.attacks.attack import Outcome, memory_of, promised
from tests.fuzz.messages import MOST_VECTORS
from tests.model_file.test_hostile import claiming, weight, with_sections

FIXED = 1 << 20  # bytes: what any decoder may take beside the model and the message
SIDE = 500  # of a matrix: 1 MB of float32
STATISTICS_VECTORS = 20  # of float32: the change, and statistics before and after in float64, several of them at once
MANIFEST_RATIO = 24  # bytes of memory for one of a manifest: a list of Python takes 64 and is written with three


def mount() -> list[Outcome]:
    """Decode all of them."""
    return [_messages(), _statistics(), _integers(), _packed(), _manifest(), _lossless(), _merged(), _file()]


def _taken(read: Callable[[], object], model: int, message: int, what: str, vectors: int = MOST_VECTORS) -> int:
    taken = memory_of(read)
    most = vectors * model + 4 * message + FIXED
    promised(taken <= most, f"{what}: {taken:,} bytes of memory for {message:,}; at most {most:,}")
    return taken


def _outcome(tried: str, happened: str, taken: int, most: int) -> Outcome:
    return Outcome(tried, happened, f"{most / 1e6:.1f} MB", f"{taken / 1e6:.2f} MB")


def bodies() -> list[tuple[int, bytes]]:
    """Scheme ids and short bodies that claim much: those of a small model, and the largest of all numbers."""
    small = np.random.default_rng(0).standard_t(2, size=64).astype(np.float32)
    layout = Layout.of({"w": small.reshape(8, 8)})
    rng = np.random.default_rng(0)
    examples = [scheme for row in SCHEMES.values() for scheme in row.examples.values()]
    made = [
        (each.codec.reader.scheme_id, each.codec.encode(small, layout, rng=rng)[HEADER_BYTES:]) for each in examples
    ]
    lengths = (1, 2, 5, 9, 17, 40)
    ends = [b"\xff" * length for length in lengths] + [bytes(length) for length in lengths]
    return made + [(scheme_id, bytes([head]) + end) for scheme_id in READERS for end in ends for head in (0, 127, 255)]


def _messages() -> Outcome:
    layout, worst = Layout.of({"w": np.broadcast_to(np.float32(0), (SIDE, SIDE))}), 0
    found = bodies()
    for scheme_id, body in found:
        message = pack(scheme_id, body, layout.fingerprint)
        reader = READERS[scheme_id]
        worst = max(worst, _taken(partial(reader.decode, message, layout), 4 * layout.size, len(message), reader.name))
    most = MOST_VECTORS * 4 * layout.size + FIXED
    return _outcome(f"{len(found)} messages of all schemes, up to 600 B, 1 MB model", "a model's worth", worst, most)


def _statistics() -> Outcome:
    before = {"bn.running_var": np.ones(SIDE * SIDE, np.float32), "w": np.zeros(1, np.float32)}
    layout, worst = Layout.of(before), 0
    for scheme_id, body in bodies():
        section = pack(scheme_id, body, layout.of_statistics.fingerprint)
        read = partial(read_statistics, section, before, layout)
        size = 4 * layout.of_statistics.size
        worst = max(worst, _taken(read, size, len(section), "statistics", STATISTICS_VECTORS))
    most = STATISTICS_VECTORS * size + FIXED
    return _outcome("the same as sections of statistics", "a model's worth", worst, most)


def _integers() -> Outcome:
    before = {"steps": np.zeros(100, np.int64)}
    layout = Layout.of(before)
    bomb = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = b"\1" + bomb.compress(bytes(64 << 20)) + bomb.flush()
    section = binascii.crc_hqx(body, 0).to_bytes(2, "big") + body
    taken = _taken(lambda: read_integers(section, before, layout), 800, len(section), "integers")
    return _outcome(
        f"integers of {len(section):,} B that inflate to 64 MiB", "refused", taken, FIXED + 4 * len(section)
    )


def _packed() -> Outcome:
    worst = 0
    manifest = json.dumps([["w", [1 << 25], "f4"]]).encode()  # 128 MiB
    record = ArrayRecord({"model": Array(np.zeros(1000, np.uint8))})
    for options in ({}, {"compressed": True}, {"is_file": True}):
        worst = max(worst, _taken(partial(unpack_model, record, manifest, **options), 0, 1000, f"packed, {options}"))
    return _outcome("packed models of 1 kB that claim 128 MiB, in 3 forms", "refused", worst, FIXED)


def _manifest() -> Outcome:
    manifest = b"[" + b"[]," * 300_000 + b"[]]"
    record = ArrayRecord({"model": Array(np.zeros(1, np.uint8))})
    taken, most = memory_of(lambda: unpack_model(record, manifest)), MANIFEST_RATIO * len(manifest) + FIXED
    promised(taken <= most, f"a manifest of {len(manifest):,} bytes takes {taken:,} of memory")
    return _outcome(
        "a manifest of 0.9 MB of empty lists", f"refused; {taken / len(manifest):.0f} B a byte", taken, most
    )


def _lossless() -> Outcome:
    specs = [("w", (1 << 25,), np.dtype(np.float32))]  # constant: 128 MiB in 12 bytes, without their padding
    message = lossless.compress({"w": np.ones(4, np.float32)})
    taken = _taken(lambda: lossless.decompress(message, specs), 0, len(message), "lossless model")
    return _outcome(f"a constant of 128 MiB in {len(message)} B without loss", "refused", taken, FIXED)


def _merged() -> Outcome:
    base = {"w": np.zeros((2000, 2000), np.float32)}
    message = struct.pack("<BbII", 0, -10, 4_000_000, 8) + bytes(8)
    taken = _taken(lambda: apply_merged(base, message), 0, len(message), "merged change")
    return _outcome(f"a merged change of {len(message)} B that claims 4 million", "refused", taken, FIXED)


def _file() -> Outcome:
    worst = 0
    for manifest in (claiming(weight(10**6, 10**6)), claiming(weight(1 << 15, (1 << 13) + 1))):
        file = with_sections(manifest, scales=b"\0")
        worst = max(worst, _taken(partial(model_file.decompress, file), 0, len(file), "model file"))
    return _outcome("model files of 50 B that claim 1 GiB and 4 TB", "refused", worst, FIXED)
