"""How λ is estimated in Algorithm 1, which sides the next steps refine, and how λ changes with them."""

from __future__ import annotations

from surp_fl.codecs.surp_paper._loops import reaching_code
from surp_fl.codecs.surp_paper._side import Side
from surp_fl.entropy.minifloat import MAX_CODE, to_code, to_float

POSITIVE, NEGATIVE, BOTH = 1, 2, 3  # the sides that a step refines
_POSITIVE, _NEGATIVE, _BOTH = POSITIVE, NEGATIVE, BOTH
_MAX_CODE = MAX_CODE
_INFINITY = float("inf")


def shrink_of(n: int, log_ratio: float, sides: int, ratio: float) -> float:
    """By which 1/λ falls at a step: as mean(|u|) does, from which it takes a share of picks·ratio·ln(n/2β)/n.

    Args:
        n: coordinates.
        log_ratio: ln(n/2β).
        sides: that the step refines.
        ratio: 1/λ, in units of mean(|u|).
    """
    return (n - (2.0 if sides == _BOTH else 1.0) * log_ratio * ratio) / n


def mean_code(total: float, n: int) -> int:
    """ParamEst in 16 bits, rounded up, so that 1/λ is not below the mean of |u|; 0 if there is nothing to refine."""
    code = to_code(total / n, True)
    return code + 1 if 0 < code < _MAX_CODE and to_float(code) < total / n else code


def estimate(above: Side, below: Side, n: int, log_ratio: float, mean: float) -> tuple[int, int]:
    """ParamEst in 16 bits, and the sides that have a candidate then, or are to have one; a code of 0 if none can."""
    code = min(mean_code(above.total + below.total, n), to_code(mean, True))  # 1/λ never grows
    if code == 0:
        return 0, _BOTH
    threshold = log_ratio * to_float(code)
    has_above = above.candidates > 0 or above.most >= threshold
    has_below = below.candidates > 0 or below.most >= threshold
    if has_above and has_below:
        return code, _BOTH
    least_above = above.least if above.least < _INFINITY else 0.0
    least_below = below.least if below.least < _INFINITY else 0.0
    if has_above or has_below:
        side, other = (above, below) if has_above else (below, above)
        least = least_below if has_above else least_above
        if 2.0 * least >= threshold and side.total <= 2.0 * other.total:
            return reaching_code(least, log_ratio), _BOTH
        return code, _POSITIVE if has_above else _NEGATIVE
    least, most = min(least_above, least_below), max(least_above, least_below)
    if 2.0 * least >= most:
        return reaching_code(least, log_ratio), _BOTH
    return reaching_code(most, log_ratio), _POSITIVE if least_above > least_below else _NEGATIVE
