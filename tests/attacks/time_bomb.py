"""Time bomb: the message that keeps a decoder busy the longest for its length.

The attacker is a client, whose messages the server decodes; or someone who sends changes of the model to clients.
Promised: a `surp` message asks for no more work than its bytes pay for, so that a decoder takes three passes over the
model's vector and 20 µs a byte; the other schemes read each symbol once, `eden` and `surp-unbiased` rotate in n·log2(n)
steps, `power-sgd` takes a pass for each factor. `tests/fuzz/test_hostile.py` searches longer and in larger models.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from flwr.app import ConfigRecord, RecordDict

from surp_fl import Layout, SuRP
from surp_fl.codecs import SCHEMES
from surp_fl.flower.packed_model import digest_of
from surp_fl.flower.protocol import ARRAYS_NAME, BASES, DELTAS, MAX_DELTAS, VERSION
from surp_fl.flower.received_model import receive_model
from surp_fl.frame import HEADER_BYTES, pack
from tests.attacks.attack import BrokenPromiseError, Outcome, logged, promised, quickest, seconds_of
from tests.fuzz.hostile import MICROSECONDS_A_BYTE, MOST_PASSES, worst_of
from tests.fuzz.messages import MUTATIONS
from tests.fuzz.writer import victim

LARGE = (2000, 2000)  # of the model that `surp` messages are for: passes over it take most of the time
SHAPE = (500, 400)  # of the model that changes are for
SMALL = (200, 100)  # of the model that the other schemes' are for: encoders take their time
NANOSECONDS_A_COORDINATE = 250  # of the other schemes: 18 levels of a rotation; five times what was measured
SEARCHED = 8  # damaged bodies for each example of a scheme
PROGRAMS, TRIES = 6, 2  # a busy machine is no slow decoder
DELTAS_SENT = 100  # in one message to a client


def mount() -> list[Outcome]:
    """Search, and decode what was found."""
    return [_surp(), *_others(), _chain()]


def _surp() -> Outcome:
    searches = (worst_of(victim([LARGE], 0), count=PROGRAMS, seed=11, most=800) for _ in range(TRIES))
    worst = next((found for found in searches if found.ratio < 1), None)
    if worst is None:
        raise BrokenPromiseError(f"a message takes more than {MOST_PASSES} passes and {MICROSECONDS_A_BYTE} µs a byte")
    return Outcome(
        f"surp: {PROGRAMS} programs of valid groups and terms, 4 million coordinates",
        f"worst: {worst.length} B take {1e3 * worst.seconds:.1f} ms",
        f"{MOST_PASSES} passes + {MICROSECONDS_A_BYTE} µs/B",
        f"{100 * worst.ratio:.0f} % of that",
    )


def _others() -> list[Outcome]:
    rng = np.random.default_rng(0)
    vector = rng.standard_t(2, size=SMALL).astype(np.float32).reshape(-1)
    layout = Layout.of({"w": vector.reshape(SMALL)})
    worst: dict[str, tuple[float, float, int]] = {}  # by reader: share of what is allowed, seconds, bytes
    for row in SCHEMES.values():
        for scheme in list(row.examples.values())[:2] if row.name != "surp" else []:
            reader, message = scheme.codec.reader, scheme.codec.encode(vector, layout, rng=rng)
            body = message[HEADER_BYTES:]
            kinds = [MUTATIONS[i] for i in rng.integers(0, len(MUTATIONS), SEARCHED if body else 0)]
            for made in (body, *(bytes(kind(bytearray(body), rng)) for kind in kinds)):
                sent = pack(reader.scheme_id, made, layout.fingerprint)
                allowed = 1e-9 * NANOSECONDS_A_COORDINATE * layout.size + 1e-6 * MICROSECONDS_A_BYTE * len(sent)
                seconds = quickest(partial(reader.decode, sent, layout), allowed)
                promised(seconds <= allowed, f"{reader.name}: {len(sent)} B take {seconds:.3f} s")
                worst[reader.name] = max(worst.get(reader.name, (0.0, 0.0, 0)), (seconds / allowed, seconds, len(sent)))
    slow = sorted(worst, key=lambda name: -worst[name][0])[:3]
    return [
        Outcome(
            f"{name}: messages and {SEARCHED} damaged ones each",
            f"worst: {worst[name][2]} B take {1e3 * worst[name][1]:.1f} ms",
            f"{NANOSECONDS_A_COORDINATE} ns a coordinate + {MICROSECONDS_A_BYTE} µs/B",
            f"{100 * worst[name][0]:.0f} % of that",
        )
        for name in slow
    ]


def _chain() -> Outcome:
    """Changes that each lead from the model that the client holds to nowhere: the client applies them all."""
    arrays = {"w": np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)}
    layout = Layout.of(arrays)
    one_coordinate = np.eye(1, layout.size, 7, dtype=np.float32)[0]
    tiny = SuRP(budget=16).codec.encode(one_coordinate, layout, rng=np.random.default_rng(0))

    def received(count: int) -> float:
        entries = {BASES: [digest_of(arrays)] * count, DELTAS: [tiny] * count, VERSION: bytes(8), ARRAYS_NAME: "arrays"}
        content = RecordDict({"config": ConfigRecord(entries)})  # type: ignore[arg-type]
        with logged():
            return seconds_of(lambda: receive_model(content, arrays))

    one, many = min(received(1) for _ in range(3)), received(DELTAS_SENT)
    most = DELTAS_SENT * (one + 1e-9 * NANOSECONDS_A_COORDINATE * layout.size)
    promised(many <= most, f"{DELTAS_SENT} deltas take {many:.3f} s, one {one:.3f} s")
    size = DELTAS_SENT * (len(tiny) + 8)
    return Outcome(
        f"to a client: {DELTAS_SENT} deltas of {len(tiny)} B that lead nowhere",
        f"each is applied: {1e6 * many / size:.0f} µs/B; more than {MAX_DELTAS} are refused",
        f"{DELTAS_SENT} times one delta",
        f"{1e3 * many:.0f} ms",
    )
