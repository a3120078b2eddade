"""The largest norm that an update may have: pure functions of the norms of this round and of earlier ones.

The usual norm is the larger of two lower medians: that of this round's updates, and that of the last rounds' medians.
An update may have `proportion` times the usual norm. A median is robust as long as fewer than half of the replies (with
one reply a round: of the last rounds) are adversarial. Knows numbers alone.

- Updates of zeros are always accepted, are left out of the medians, and a round of nothing else has no median.
- A single nonzero update is compared with earlier rounds only. Without earlier rounds, as in the first round of one
  client, it is accepted; of two updates without earlier rounds, the smaller norm is the usual one.
- Rejected updates count in the medians too: if the first norms were far too small, or the usual norm changes for good,
  rejected updates become the usual ones a few rounds later.
- If all updates grow or shrink together (decaying budgets, a warm-up), the round's own median follows. With one client
  a round, only a jump by more than `proportion` is rejected.
- Honest clients had norms of 1.1 to 2.4 times the usual one (`docs/custom-strategy.md`), 4.6 with one client a round.
- A client's residual does not grow while the client is away, so that its first update afterwards has a usual norm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

ROUNDS = 20  # whose medians are kept


def norm_limit(norms: Sequence[float], medians: Sequence[float], proportion: float) -> float:
    """The largest norm that an update may have in a round.

    Args:
        norms: L2, of all updates of the round that could be decoded; finite, 0 or more.
        medians: of earlier rounds, as `recent_medians` gives them.
        proportion: how many times the usual norm.

    Returns:
        Infinity where there is nothing to compare with.

    >>> norm_limit([1.0, 2.0, 500.0], medians=[3.0], proportion=100.0)
    300.0
    >>> norm_limit([500.0], medians=[], proportion=100.0)
    inf
    """
    usual = [lower_median(medians)] if medians else []
    nonzero = [norm for norm in norms if norm > 0]
    if len(nonzero) > 1:
        usual.append(lower_median(nonzero))
    return proportion * max(usual, default=math.inf)


def recent_medians(norms: Sequence[float], medians: Sequence[float]) -> tuple[float, ...]:
    """The medians of the last `ROUNDS` rounds, oldest first, with that of one more round appended."""
    nonzero = [norm for norm in norms if norm > 0]
    return (*medians, *([lower_median(nonzero)] if nonzero else []))[-ROUNDS:]


def lower_median(numbers: Sequence[float]) -> float:
    """The median; of an even count, the lower of the two in the middle.

    >>> lower_median([4.0, 1.0, 3.0, 2.0])
    2.0
    """
    return sorted(numbers)[(len(numbers) - 1) // 2]
