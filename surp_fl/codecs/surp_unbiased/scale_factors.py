"""Scale factors of bands ↔ a range coder, and which ones leave the least variance for their bits.

A factor f divides the coordinates of its band by the weight w = 2^(−f/4) before the rotation. The error of a message is
the same in every rotated coordinate, and therefore w² times that in a band. The variance is proportional to
(Σ energy / w²)·(Σ size·w²) / bits, over all bands; it is least where w² follows the band's root mean square. A band has
the factor of the one before it, or another, coded with adaptive frequencies: how often each was sent so far.
Encoder and decoder mirror each other. Knows bands' energies. Does not know layouts. A typed view of an array has a name
of its own, as `factors` for `found`.
"""

from __future__ import annotations

import math

import numpy as np

from surp_fl.entropy.integers import decode_bits, encode_bits
from surp_fl.entropy.range_coder import RangeDecoder, RangeEncoder
from surp_fl.types import Floats, Integers

FACTORS = 32  # 0 to 31, each half an octave of a root mean square
_FACTORS, _BITS = FACTORS, 5
# Part of the format; set by hand.
_SAME, _OTHER, _MOST_COUNTED = 4, 1, 128  # how often a band had the same factor, and another, to begin with
_INCREMENT = 4  # added to a factor's frequency, which is 1 to begin with, when it is sent
# The encoder's alone; set by hand.
_FARTHEST = 2.0**31  # mean square of the largest band over that of the smallest whose factor is not the last one
_ROUNDS = 4  # of the choice, whose costs are those of the round before
_FIRST_SAME_COST, _FIRST_OTHER_COST = 0.15, 3.3  # bits: one band in ten has another factor
_UNSENT = 0.3  # times that a factor counts as sent which was not, in the costs of the next round


class FactorModel:
    """Adaptive frequencies of what is sent: whether a band has another factor than the one before it, and which."""

    def __init__(self) -> None:
        self.same, self.other = _SAME, _OTHER
        self._frequencies = np.ones(_FACTORS, np.int64)
        self._frequency = self._frequencies
        self._total = _FACTORS

    def changes(self, changed: bool) -> None:
        """Count a band."""
        if changed:
            self.other += 1
        else:
            self.same += 1
        if self.same + self.other > _MOST_COUNTED:
            self.same, self.other = (self.same + 1) >> 1, (self.other + 1) >> 1

    def frequency(self, factor: int) -> int:
        """The frequency of a factor."""
        return int(self._frequency[factor])

    def below(self, factor: int, previous: int) -> int:
        """Frequencies of all smaller factors but the previous one, which cannot come."""
        found = 0
        for each in range(factor):
            if each != previous:
                found += self._frequency[each]
        return found

    def total(self, previous: int) -> int:
        """Frequencies of all factors but the previous one."""
        return int(self._total - self._frequency[previous])

    def count(self, factor: int) -> None:
        """Count a factor that was sent."""
        self._frequency[factor] += _INCREMENT
        self._total += _INCREMENT


def encode_factors(encoder: RangeEncoder, factors: Integers) -> None:
    """Encode the factors of all bands: int64, shape (bands,), each 0 to 31; at least one band."""
    model = FactorModel()
    previous = factors[0]
    encode_bits(encoder, previous, _BITS)
    for i in range(1, len(factors)):
        factor = factors[i]
        if factor == previous:
            encoder.encode(0, model.same, model.same + model.other)
        else:
            encoder.encode(model.same, model.other, model.same + model.other)
            encoder.encode(model.below(factor, previous), model.frequency(factor), model.total(previous))
            model.count(factor)
        model.changes(factor != previous)
        previous = factor


def decode_factors(decoder: RangeDecoder, count: int) -> Integers:
    """Decode the factors of `count` bands, at least one; of an exhausted decoder, they are not to be used."""
    found = np.zeros(count, np.int64)
    factors = found
    model = FactorModel()
    previous = decode_bits(decoder, _BITS)
    factors[0] = previous
    for i in range(1, count):
        if decoder.exhausted():
            break
        changed = decoder.decode_flag(model.same, model.same + model.other)
        if changed:
            previous = _decode_other(decoder, model, previous)
        model.changes(bool(changed))
        factors[i] = previous
    return found


def _decode_other(decoder: RangeDecoder, model: FactorModel, previous: int) -> int:
    """Decode a factor that is not the previous one."""
    target = decoder.decode_target(model.total(previous))
    factor = 1 if previous == 0 else 0
    cum_freq = 0
    while cum_freq + model.frequency(factor) <= target:
        cum_freq += model.frequency(factor)
        factor += 2 if factor + 1 == previous else 1
    decoder.decode_update(cum_freq, model.frequency(factor), model.total(previous))
    model.count(factor)
    return factor


def choose_factors(energies: Floats, sizes: Integers, bits: float) -> tuple[Integers, float]:
    """The factors with which a message of so many bits, those of the factors among them, has the least variance.

    By dynamic programming over bands, as Viterbi's, with costs of the round before; the variance is linearised there.

    Args:
        energies: sum of squares of each band, not all 0; shape (bands,).
        sizes: coordinates of each band; shape (bands,).
        bits: of the message, for factors and all that follows.

    Returns:
        int64, shape (bands,); and the variance with them, as a share of that without: above 1 where they cost more than
        they bring.
    """
    bands = len(sizes)
    found = np.empty(bands, np.int64)
    best_before = np.zeros((bands, _FACTORS), np.uint8)  # the factor of the band before that is best for each factor
    squared_weights = np.exp2(-0.5 * np.arange(_FACTORS))
    factor_costs = np.full(_FACTORS, float(_BITS))
    factors, before, squared, new_costs = found, best_before, squared_weights, factor_costs
    size = energy = highest = 0.0
    for i in range(bands):
        size += sizes[i]
        energy += energies[i]
        highest = max(highest, energies[i] / sizes[i])
    for i in range(bands):
        below = highest * sizes[i] / energies[i] if energies[i] > 0.0 else math.inf
        factors[i] = int(math.log2(below) + 0.5) if below < _FARTHEST else _FACTORS - 1
    change_cost, stay_cost, spent, share = _FIRST_OTHER_COST, _FIRST_SAME_COST, 0.0, 0.0
    costs, previous_costs = np.empty(_FACTORS), np.empty(_FACTORS)
    cost, cost_before = costs, previous_costs
    for _ in range(_ROUNDS):
        over, under = _sums(energies, sizes, factors, squared)
        per_bit = 1.0 / max(bits - spent, 0.5 * bits, 1.0)
        for i in range(bands):
            best = 0
            for factor in range(_FACTORS):
                cost_before[factor] = cost[factor] if i > 0 else 0.0
                if cost_before[factor] < cost_before[best]:
                    best = factor
            for factor in range(_FACTORS):
                stay = cost_before[factor] + per_bit * stay_cost
                change = cost_before[best] + per_bit * (change_cost + new_costs[factor])
                before[i, factor] = factor if stay <= change else best
                cost[factor] = min(stay, change) + energies[i] / (squared[factor] * over)
                cost[factor] += sizes[i] * squared[factor] / under
        last = 0
        for factor in range(_FACTORS):
            if cost[factor] < cost[last]:
                last = factor
        for i in range(bands - 1, -1, -1):
            factors[i] = last
            last = before[i, last]
        spent, stay_cost, change_cost = _count(factors, new_costs)
        over, under = _sums(energies, sizes, factors, squared)
        share = over * under / (size * energy) * bits / max(bits - spent, 0.001)
    return found, share


def _sums(energies: Floats, sizes: Integers, factors: Integers, squared: Floats) -> tuple[float, float]:
    """Σ energy / w² and Σ size · w²."""
    over = under = 0.0
    for i in range(len(factors)):
        over += energies[i] / squared[factors[i]]
        under += sizes[i] * squared[factors[i]]
    return over, under


def _count(factors: Integers, new_costs: Floats) -> tuple[float, float, float]:
    """Bits of all factors, of a band with the same one, and of another but for which; `new_costs`: of each of those."""
    model = FactorModel()
    counts = np.full(_FACTORS, _UNSENT)
    sent = counts
    bits, changes = 5.0, 0.0
    for i in range(1, len(factors)):
        factor, previous = factors[i], factors[i - 1]
        total = float(model.same + model.other)
        if factor == previous:
            bits -= math.log2(model.same / total)
        else:
            bits -= math.log2(model.other / total)
            bits -= math.log2(float(model.frequency(factor)) / model.total(previous))
            model.count(factor)
            sent[factor] += 1.0
            changes += 1.0
        model.changes(factor != previous)
    for factor in range(_FACTORS):
        new_costs[factor] = -math.log2(sent[factor] / (changes + _UNSENT * _FACTORS))
    share = (changes + 0.5) / (len(factors) + 1.0)
    return bits, -math.log2(1.0 - share), -math.log2(share)
