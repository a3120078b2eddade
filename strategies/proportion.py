"""Which updates are out of all proportion to the others: pure functions of norms, of this round and of those before.

The usual norm is the larger of two lower medians: that of this round's updates, and that of the last rounds' medians.
An update may be `proportion` times as long. Medians hold while fewer than half of the replies (with one reply a round:
of the last rounds) are out to deceive. Knows numbers alone.

- All-zero updates say nothing of what is usual, always pass, and a round of nothing else is not remembered.
- A single update that is not zero is no measure of itself: earlier rounds are. With none, as in the first round of one
  client, it passes; of two without earlier rounds, the shorter is the measure.
- Updates that are refused are remembered too: where the first one was far too short, or what is usual changes for good,
  those that are refused for it are the usual ones a few rounds later.
- Rounds in which all updates grow or shrink together (budgets that fall, a warm-up) measure themselves. With one client
  a round, only a jump by `proportion` is refused.
- What honest clients differed by: 1.1 to 2.4 times the usual norm (`docs/custom-strategy.md`), 4.6 with one a round.
- What a client owes does not grow while it is away; who comes back is one like the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

ROUNDS = 20  # that are remembered


def limit(norms: Sequence[float], earlier: Sequence[float], proportion: float) -> float:
    """The largest norm that an update may have in a round.

    Args:
        norms: L2, of all updates of the round that could be decoded; finite, 0 or more.
        earlier: medians of the rounds before, as `remembered` gives them.
        proportion: how many times the usual norm.

    Returns:
        Infinity where there is nothing to compare with.
    """
    measures = [lower_median(earlier)] if earlier else []
    telling = [norm for norm in norms if norm > 0]
    if len(telling) > 1:
        measures.append(lower_median(telling))
    return proportion * max(measures, default=math.inf)


def remembered(norms: Sequence[float], earlier: Sequence[float]) -> tuple[float, ...]:
    """The medians of the last rounds, with that of one more round; the oldest first."""
    telling = [norm for norm in norms if norm > 0]
    return (*earlier, *([lower_median(telling)] if telling else []))[-ROUNDS:]


def lower_median(numbers: Sequence[float]) -> float:
    """The median, and of an even count the lower of the two in the middle."""
    return sorted(numbers)[(len(numbers) - 1) // 2]
