"""Schemes as the command line writes them: "dense", "surp:218", "surp:ratio=1000", "rtop-k:2050:ratio=2".

The table is the registry, and peers that are no schemes of the library.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from simulations.nncodec import scheme as nncodec
from surp_fl import ErrorFeedback, MomentumCorrection
from surp_fl.codecs import SCHEMES, Registration, Scheme, scheme_named
from surp_fl.codecs.codec import Budgeted, with_budget

Options = dict[str, float]
_TO = "to"  # the option that a budget grows, or falls, to


_PEERS = {nncodec.ROW.name: nncodec.ROW}


def known() -> dict[str, Registration]:
    """All schemes by name, in the order of legends."""
    return {**SCHEMES, **_PEERS}


def named(name: str) -> Registration:
    """Find a scheme by its name.

    Raises:
        ValueError: there is none.
    """
    return _PEERS.get(name) or scheme_named(name)


def parse(text: str) -> tuple[str, int | None, Options]:
    """Split "rtop-k:2050:ratio=2" into the scheme's name, its budget in bytes, and its options.

    A scheme whose budget may be a share of the model's size has it as an option, "surp:ratio=1000", and no budget.

    Raises:
        ValueError: no scheme of this name, parts that are neither a budget nor an option, or not exactly one budget.
    """
    name, *parts = text.split(":")
    budget: int | None = None
    options: Options = {}
    for part in parts:
        option, is_option, value = part.partition("=")
        try:
            if is_option:
                options[option] = float(value)
            elif budget is None:
                budget = int(part)
            else:
                raise ValueError
        except ValueError:
            raise ValueError(
                f"'{part}' in '{text}'; expected a number of bytes, or an option as in 'rtop-k:2050:ratio=2'"
            ) from None
    given = (budget is not None) + ("ratio" in options and takes_ratio(name))
    if given != named(name).has_budget:
        raise ValueError(f"'{text}': {_expected(name)}")
    return name, budget, options


def takes_ratio(name: str) -> bool:
    """Whether a scheme's budget may be a share of the model's size; the ratio of others, as rTop-k's, is another."""
    return any(isinstance(scheme, Budgeted) for scheme in named(name).examples.values())


def _expected(name: str) -> str:
    if not named(name).has_budget:
        return f"{name} has no budget, it sends every coordinate; write '{name}'"
    share = f", or a share of the model's, write '{name}:ratio=1000'" if takes_ratio(name) else ""
    return f"{name} needs one budget, in bytes, write '{name}:218'{share}"


def scheme_of(text: str) -> Scheme | Callable[[int], Scheme]:
    """Make the scheme that "surp:218" stands for, or the function that gives it for each round."""
    name, budget, options = parse(text)
    given: dict[str, Any] = {key: int(value) if value.is_integer() else value for key, value in options.items()}
    if budget is not None:
        given["budget"] = budget
    try:
        return named(name).make(**given)
    except TypeError as fault:
        raise ValueError(f"'{text}': {fault}") from None


def fading(text: str, keep: Callable[[int], float]) -> Callable[[int], Scheme]:
    """The scheme of each round, with a memory that decays its residual by the factor that `keep` gives."""
    found = scheme_of(text)

    def scheme(server_round: int) -> Scheme:
        made: Any = found(server_round) if callable(found) else found
        if isinstance(made.memory, ErrorFeedback | MomentumCorrection):
            return replace(made, memory=replace(made.memory, keep=keep(server_round)))  # type: ignore[no-any-return]
        return made  # type: ignore[no-any-return]

    return scheme


def scheme_of_round(text: str, rounds: int) -> Scheme | Callable[[int], Scheme]:
    """Make the scheme that "surp:218" stands for; of "surp:250:to=710" the function that gives it for each round.

    Args:
        text: a scheme; after all warm-up, if it has one.
        rounds: of the run, in which the budget goes from the first number of bytes to the one after `to`, in equal
            steps.
    """
    name, budget, options = parse(text)
    if budget is None or (last := options.pop(_TO, None)) is None:
        return last_scheme_of(text)
    first, scheme = budget, last_scheme_of(":".join([name, str(budget), *(f"{k}={v:g}" for k, v in options.items())]))

    def of_round(server_round: int) -> Scheme:
        done = min(1.0, (server_round - 1) / max(1, rounds - 1))
        return with_budget(scheme, round(first + (last - first) * done))

    return of_round


def last_scheme_of(text: str) -> Scheme:
    """The scheme after all warm-up."""
    scheme = scheme_of(text)
    return scheme(1 << 30) if callable(scheme) else scheme
