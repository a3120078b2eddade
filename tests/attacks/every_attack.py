"""The table of attacks: name to what mounts it."""

from __future__ import annotations

from collections.abc import Callable

from tests.attacks import (
    downgrade,
    foreign_version,
    forged_applied,
    log_flood,
    memory_bomb,
    metric_flood,
    over_budget,
    poison,
    replay,
    state_confusion,
    time_bomb,
)
from tests.attacks.attack import Outcome

Mount = Callable[[], list[Outcome]]

ATTACKS: dict[str, Mount] = {
    "memory bomb": memory_bomb.mount,
    "time bomb": time_bomb.mount,
    "replay": replay.mount,
    "forged applied": forged_applied.mount,
    "foreign version": foreign_version.mount,
    "over budget": over_budget.mount,
    "poison": poison.mount,
    "metric flood": metric_flood.mount,
    "metric flood of evaluations": metric_flood.mount_evaluation,
    "log flood": log_flood.mount,
    "state confusion": state_confusion.mount,
    "downgrade": downgrade.mount,
}
