"""What a client's state holds between rounds, read without the code that wrote it. Knows Flower's Context."""

from __future__ import annotations

from typing import Any

import numpy as np
from flwr.app import Context

from surp_fl.flower.protocol import NAME, SENT
from surp_fl.flower.records import arrays_of
from tests.chaos.models import Vector


def stored(context: Context, size: int) -> tuple[Vector, Vector, Vector]:
    """Residual, velocity and last message in a client's state; float64, shape (size,) each; zeros for no velocity."""
    memory: dict[str, Any] = arrays_of(context.state.array_records[NAME])
    last = arrays_of(context.state.array_records[SENT])
    sent = np.zeros(size)
    sent[last["indices"] if "indices" in last else slice(None)] = last["values"]
    residual = memory["residual"].astype(np.float64)
    return residual, np.asarray(memory.get("velocity", np.zeros(size)), np.float64), sent
