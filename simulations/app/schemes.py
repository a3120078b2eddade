"""The table of schemes that the command line knows: "dense", "surp:218", "rtop-k:2050:ratio=2"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from surp_fl import DGC, QSGD, STC, Dense, ErrorFeedback, MomentumCorrection, PaperSuRP, RTopK, SuRP, TopK
from surp_fl.codecs.codec import Scheme
from surp_fl.codecs.dgc import WARM_UP

Options = dict[str, float]


def _dgc(budget: int, momentum: float = 0.9, clip: float = 0, warm_up: int = len(WARM_UP)) -> Callable[[int], Scheme]:
    return DGC(budget, memory=MomentumCorrection(momentum, clip or None), warm_up=WARM_UP[:warm_up]).in_round


def _with_memory(make: Callable[..., Scheme]) -> Callable[..., Scheme]:
    """A scheme with error feedback that keeps a share `keep` of its residual, or with `momentum` before it."""

    def made(budget: int, keep: float = 1.0, momentum: float = 0.0, **options: float) -> Scheme:
        memory = MomentumCorrection(momentum) if momentum else ErrorFeedback(keep)
        return make(budget=budget, memory=memory, **options)

    return made


@dataclass(frozen=True)
class Entry:
    """One scheme of the command line, and what tables, plots and tuning have to know of it.

    Attributes:
        make: gives the scheme, or the function from rounds to schemes, from its options.
        style: colour and marker in plots.
        value_bits: for each sent coordinate in the paper's account, beside its index; None where it has no formula.
        has_budget: whether a message's bytes are given.
        own_momentum: whether it brings momentum, which local training must then not have as well.
    """

    make: Callable[..., Scheme | Callable[[int], Scheme]]
    style: tuple[str, str]
    value_bits: int | None = 0
    has_budget: bool = True
    own_momentum: bool = False


SCHEMES: dict[str, Entry] = {  # in the order of legends
    "surp": Entry(_with_memory(SuRP), ("C0", "o")),
    "stc": Entry(_with_memory(STC), ("C3", "s")),
    "rtop-k": Entry(_with_memory(RTopK), ("C2", "^"), value_bits=32),
    "dgc": Entry(_dgc, ("C4", "v"), value_bits=32, own_momentum=True),
    "top-k": Entry(_with_memory(TopK), ("C1", "P"), value_bits=32),
    "qsgd": Entry(QSGD, ("C5", "X"), value_bits=None, has_budget=False),
    "dense": Entry(Dense, ("0.35", "*"), value_bits=None, has_budget=False),
    "surp-paper": Entry(_with_memory(PaperSuRP), ("C6", "p")),
}


def parse(text: str) -> tuple[str, int | None, Options]:
    """Split "rtop-k:2050:ratio=2" into the scheme's name, its budget in bytes, and its options.

    Raises:
        ValueError: no scheme of this name, or parts that are neither a budget nor an option.
    """
    name, *parts = text.split(":")
    if name not in SCHEMES:
        raise ValueError(f"scheme '{name}'; there are: {', '.join(SCHEMES)}")
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
    if (budget is None) == SCHEMES[name].has_budget:
        raise ValueError(
            f"'{text}': {name} needs a budget in bytes, write '{name}:218'"
            if budget is None
            else f"'{text}': {name} has no budget, it sends every coordinate; write '{name}'"
        )
    return name, budget, options


def scheme_of(text: str) -> Scheme | Callable[[int], Scheme]:
    """Make the scheme that "surp:218" stands for, or the function that gives it for each round."""
    name, budget, options = parse(text)
    given: dict[str, Any] = {key: int(value) if value.is_integer() else value for key, value in options.items()}
    if budget is not None:
        given["budget"] = budget
    try:
        return SCHEMES[name].make(**given)
    except TypeError as fault:
        raise ValueError(f"'{text}': {fault}") from None


def fading(text: str, keep: Callable[[int], float]) -> Callable[[int], Scheme]:
    """The scheme of each round, with a memory that carries the share of its debts into it that `keep` gives."""
    found = scheme_of(text)

    def scheme(server_round: int) -> Scheme:
        made: Any = found(server_round) if callable(found) else found
        if isinstance(made.memory, ErrorFeedback | MomentumCorrection):
            return replace(made, memory=replace(made.memory, keep=keep(server_round)))  # type: ignore[no-any-return]
        return made  # type: ignore[no-any-return]

    return scheme


def last_scheme_of(text: str) -> Scheme:
    """The scheme after all warm-up."""
    scheme = scheme_of(text)
    return scheme(1 << 30) if callable(scheme) else scheme
