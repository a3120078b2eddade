"""Which settings of a way are tried: some over all, then one by one where its models stop being good enough."""

from __future__ import annotations

from collections.abc import Callable

_STRIDE = 4  # of the coarse search
_FAR = 2  # coarse settings in a row that are not good enough end it


def tried(settings: int, is_enough: Callable[[int], bool]) -> list[int]:
    """Try settings from the one of most bytes down.

    Args:
        settings: how many there are, by rising bytes.
        is_enough: tries one, and says whether it is good enough.

    Returns:
        Those that were tried, ascending: every fourth, down to the second in a row that is not enough; and every
        setting between the lowest of them above which none fails and the next lower one.

    >>> tried(20, lambda setting: setting >= 6)
    [0, 3, 4, 5, 6, 7, 11, 15, 19]
    """
    found: dict[int, bool] = {}
    failed = 0
    for setting in range(settings - 1, -1, -_STRIDE):
        found[setting] = is_enough(setting)
        failed = 0 if found[setting] else failed + 1
        if failed == _FAR:
            break
    if 0 not in found and failed < _FAR:
        found[0] = is_enough(0)
    coarse = sorted(found)
    above = [setting for setting in coarse if not found[setting]]
    if above and above[-1] != coarse[-1]:
        low, high = above[-1], min(setting for setting in coarse if setting > above[-1])
        for setting in range(low + 1, high):
            found[setting] = is_enough(setting)
    return sorted(found)
