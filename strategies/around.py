"""A strategy around another one passes the other's public attributes through: what it does not have itself is inside.

Knows attributes alone.
"""

from __future__ import annotations

from typing import Any

from flwr.serverapp.strategy import Strategy

from surp_fl.strategies.validation import nested


class AroundStrategy(Strategy):
    """Reads and writes public attributes of the strategies inside as if they were its own.

    `around.fraction_train = 0.5` sets what the inner strategy reads, and `around.set_save_path(path)` calls its method.
    Of several nested strategies, the outermost one that has the attribute is meant; one that none of them has is set on
    the outermost. Names that begin with an underscore are never passed on, nor are names that this object has itself:
    those of its class, and what it set before `strategy`. A subclass that wants an attribute of its own gives it a
    default in the class body.

    Attributes:
        strategy: the inner strategy; set last, as names that are set afterwards are the inner strategy's.

    Raises:
        AttributeError: none of the strategies has the attribute.
    """

    strategy: Strategy

    def __getattr__(self, name: str) -> Any:  # called only where this object has no such attribute
        chain = _inside(self) if not name.startswith("_") else []
        for inner in chain:
            if hasattr(inner, name):
                return getattr(inner, name)
        inside = " > ".join(type(inner).__name__ for inner in chain)
        raise AttributeError(
            f"neither {type(self).__name__} nor a strategy inside it ({inside}) has a public attribute '{name}'"
            if chain
            else f"{type(self).__name__} has no attribute '{name}'"
        )

    def __setattr__(self, name: str, value: Any) -> None:
        chain = _inside(self)
        if not chain or name.startswith("_") or name in vars(self) or hasattr(type(self), name):
            super().__setattr__(name, value)
        else:
            setattr(next((inner for inner in chain if hasattr(inner, name)), chain[0]), name, value)

    def __dir__(self) -> list[str]:
        inside = {name for inner in _inside(self) for name in dir(inner) if not name.startswith("_")}
        return sorted({*super().__dir__(), *inside})


def _inside(around: AroundStrategy) -> list[Strategy]:
    """The strategies inside, outermost first; none while `around` is being made, copied or unpickled."""
    inner = vars(around).get("strategy")
    return [] if inner is None else nested(inner)
