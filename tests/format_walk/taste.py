"""What a message that is chosen at random prefers, so that no feature is left to chance alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

from tests.format_walk.symbols import Alphabet

USUAL_CODES = (3200, 4800)  # of magnitudes: 2^−56 to 2^44
USUAL_STEPS = (200 << 11, 290 << 11)
OVER = ("trellis with terms", "trellis with factors", "trellis with factors")
AS_EXPECTED = dict.fromkeys(("split of one", "sign", "row", "column"), 0.5)


def log_uniform(least: int, most: int, rng: Random) -> int:
    """A number in the range, its order of magnitude drawn first."""
    if least >= most:
        return most
    return min(most, int(least + (most - least + 1) ** rng.random() - 1))


@dataclass
class Taste:
    """Preferences of one message.

    Attributes:
        context: 0 to 2, of groups.
        terms: about how many; 0 for none.
        trellis: a level for every coordinate.
        rank: of layers with factors, at most; 0 for no factors.
        groups: how many, before a count of 0.
        picks: of a group, at most.
        fill: how likely a group has as many picks as it may.
        overlap: how likely a group may repeat coordinates.
        wild: how likely a symbol is the first or the last of its alphabet, whatever their frequencies.
        odd: the same for names of symbols.
        always: where symbols of these names are among all frequencies: 0 the first, 1 the last, 1/2 one that is likely.
        anything: how likely magnitudes, steps and means are any that can be said.
        same: how likely a magnitude is that of the group before.
        mean: code of the mean level of a layer, about.
        wrong: the name of a number of which one is to be out of its range; empty for a valid message.
    """

    context: int = 0
    terms: int = 0
    trellis: bool = False
    rank: int = 0
    groups: int = 1
    picks: int = 10
    fill: float = 0.1
    overlap: float = 0.5
    wild: float = 0.0
    odd: dict[str, float] = field(default_factory=dict)
    always: Mapping[str, float] = field(default_factory=dict)
    anything: float = 0.0
    same: float = 0.2
    mean: int = 64
    wrong: str = ""
    _code: int = 0

    def symbol(self, name: str, alphabet: Alphabet, rng: Random) -> int | None:
        """A preference for the next symbol; None to draw it by the frequencies."""
        if name in self.always:
            return alphabet.at(int((alphabet.total - 1) * self.always[name]))[0]
        if rng.random() < self.odd.get(name, self.wild):
            return alphabet.at(0 if rng.random() < 0.5 else alphabet.total - 1)[0]
        return None

    def number(self, name: str, least: int, most: int, rng: Random) -> int:
        """A preference among numbers whose limits the walk knows."""
        if name == self.wrong and rng.random() < 0.5:
            return self._beyond(name, least, most, rng)
        known = {
            "context": 3 if self.trellis or self.terms else self.context,
            "context with terms": 3 if self.trellis else self.context,
            "kind of trellis mode": 2 if self.rank else int(self.terms > 0),
        }
        if name in known:
            return known[name]
        if name == "overlap":
            return max(least, int(rng.random() < self.overlap))
        if name == "number of lags" and self.wrong == "lag":
            return most
        if name == "picks":
            self.groups -= 1
            return 0 if self.groups < 0 else self._picks(min(most, self.picks), rng)
        if name == "terms":
            return max(1, rng.randint((self.terms + 1) // 2, self.terms))
        if name == "rank":
            return most if rng.random() < self.fill else rng.randint(0, 2) and log_uniform(1, min(most, self.rank), rng)
        if name in ("first magnitude", "magnitude", "magnitude of a component"):
            self._code = self._magnitude(name != "first magnitude" and self._code > 0, least, most, rng)
            return self._code
        if name == "step":
            return rng.randint(least, most) if rng.random() < self.anything else rng.randint(*USUAL_STEPS)
        if name == "mean":
            return self._mean(most, rng)
        return log_uniform(least, most, rng)  # lags

    def _beyond(self, name: str, least: int, most: int, rng: Random) -> int:
        """A number that can be said, just outside of the range or far above it, if there is one."""
        return rng.choice(
            {
                "picks": [most + 1, (1 << 24) - 1, 1 << 24],
                "terms": [0, most + 1, 1 << 24],
                "first magnitude": [0],
                "magnitude": [0, most + 1],
                "overlap": [0],
                "step": [0],
                "mean": [most + 1, most + 30],
                "lag": [max(1, least - 1), max(1, least - 9)],
                "kind of trellis mode": [3],
                "rank": [most + 1, most + 40],
                "magnitude of a component": [0, most + 1],
            }[name]
        )

    def _picks(self, most: int, rng: Random) -> int:
        return most if rng.random() < self.fill else log_uniform(min(1, most), most, rng)

    def _magnitude(self, later: bool, least: int, most: int, rng: Random) -> int:
        if rng.random() < self.anything:
            return rng.randint(least, most)
        if not later:
            return rng.randint(*USUAL_CODES)
        if rng.random() < self.same:
            return self._code
        return min(most, max(least, self._code + rng.randint(-40, 30)))

    def _mean(self, most: int, rng: Random) -> int:
        if rng.random() < self.anything:
            return rng.randint(0, most)
        return 0 if rng.random() < 0.15 else min(most, max(1, self.mean + rng.randint(-12, 12)))


def random_taste(rng: Random, n: int, has_terms: bool) -> Taste:
    """Any kind of message of n coordinates, with terms where a layer may have some."""
    kind = rng.choice(("few", "few", "few", "many", "dense", "terms", "trellis", *OVER, "likely"))
    taste = Taste(context=rng.randrange(3), wild=rng.choice((0.0, 0.0, 0.02, 0.2)), anything=rng.choice((0, 0, 0.1)))
    if ("terms" in kind or "factors" in kind) and not has_terms:
        kind = "few"
    taste.overlap = rng.choice((0.05, 0.5, 0.9))
    taste.groups = rng.choice((0, 1, 1, 2, 3, 4, 6, 10))
    taste.picks = 12 if kind != "many" else max(1, n // 3)
    if kind == "dense":
        taste.groups, taste.picks = rng.randint(1, 3), n
    if "terms" in kind:
        taste.terms = rng.choice((1, 2, 3, 8, 30))
        taste.odd["sign of a term is not 0"] = rng.choice((0.0, 0.0, 0.3, 0.9))
    if "trellis" in kind:
        taste.trellis, taste.mean = True, rng.choice((30, 44, 52, 60, 64, 72, 80, 100))
        taste.odd["level is longer"] = taste.odd["level is not 0"] = rng.choice((0.0, 0.0, 0.01, 0.1, 0.5))
        taste.odd["negative"] = rng.choice((0.0, 0.2))
    if "factors" in kind:
        taste.rank, taste.fill = rng.choice((1, 2, 5, 20)), rng.choice((0.0, 0.2))
        taste.wrong = rng.choice(("rank", "magnitude of a component", *[""] * 8))
    if kind == "likely":
        taste.always, taste.groups, taste.picks, taste.same = AS_EXPECTED, rng.choice((20, 60)), 1, 1.0
        taste.overlap = 1.0
    if rng.random() < 0.1:
        of_groups = ("picks", "first magnitude", "magnitude", "overlap")
        of_trellis = ("step", "lag", "mean", "kind of trellis mode")
        taste.wrong = rng.choice(of_trellis if taste.trellis else of_groups)
        if taste.terms or taste.rank:
            others = ("terms",) if taste.terms else ("rank", "magnitude of a component")
            taste.wrong = rng.choice((taste.wrong, *others))
    taste.odd["split"] = rng.choice((0.0, 0.1, 0.5))
    taste.odd["split of one"] = rng.choice((0.0, 0.1))
    return taste
