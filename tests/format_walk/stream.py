"""Cases without end: of random models and tastes, special ones among them, with parts and damaged copies."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from tests.format_walk.body import NONE, Setting
from tests.format_walk.cases import Case, chosen, cut, damaged
from tests.format_walk.models import random_setting
from tests.format_walk.specials import SLOW, SPECIALS, special_cases
from tests.format_walk.taste import random_taste
from tests.format_walk.terms import SMALLEST


def random_cases(seed: int, specials: float = 0.002) -> Iterator[Case]:
    """Cases of a seed.

    Args:
        seed: the same cases come again from the same seed.
        specials: how likely the next model is one of `specials.py`, which take a second or several.
    """
    rng = Random(seed)
    while True:
        if rng.random() < specials:
            yield from special_cases(rng, [rng.choice((*SPECIALS, *SLOW))])
        setting = random_setting(rng)
        for _ in range(rng.randint(1, 4)):
            taste = random_taste(rng, setting.n, may_have_terms(setting) or rng.random() < 0.1)
            for case in chosen(setting, taste, rng):
                yield case
                if len(case.body) > 1 and rng.random() < 0.3:
                    yield cut(case, rng)
                if case.body and rng.random() < 0.2:
                    yield damaged(case, rng)


def may_have_terms(setting: Setting) -> bool:
    return any(min(layer.rows, layer.columns) >= SMALLEST for layer in setting.sides[NONE].layers)
