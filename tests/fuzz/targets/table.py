"""All targets, by name. A fuzzer of one of them imports its module alone, since what is imported is instrumented."""

from __future__ import annotations

from tests.fuzz.targets import bits, client_state, entropy, messages, models, records, sections, sets
from tests.fuzz.targets.target import Target

TARGETS: dict[str, Target] = {
    target.name: target
    for room in (entropy, bits, sets, messages, sections, models, records, client_state)
    for target in room.TARGETS
}
