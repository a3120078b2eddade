"""What a federation will move and how long it will take, by budget, before anything is run: `surp-fl plan`.

    federation.py   model, clients, rounds, links: what is known beforehand
    overhead.py     what Flower's requests cost, as measured: one table
    traffic.py      one exchange, one round: bytes on the wire and seconds
    options.py      the options: each budget up with each budget down; which of them is sensible, by a stated rule
    text.py         an analysis as a table and sentences
    plot.py         an analysis as a picture; the only file that imports matplotlib

Knows budgets. Does not know Flower, and does not know what a budget does to accuracy.
"""

from __future__ import annotations

from surp_fl.planning.federation import Federation, PlanError
from surp_fl.planning.options import RULE, Analysis, Option, ladder, plan
from surp_fl.planning.overhead import FLOWER, Overhead
from surp_fl.planning.text import as_text

__all__ = ["FLOWER", "RULE", "Analysis", "Federation", "Option", "Overhead", "PlanError", "as_text", "ladder", "plan"]
