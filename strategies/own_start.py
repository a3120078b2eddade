"""Runs a `start` of the inner strategy's own, so that the rounds of its loop go through the wrapper.

While `start` runs, the inner strategy is an instance of a subclass of its class, made for this run: its four methods
`configure_train`, `aggregate_train`, `configure_evaluate` and `aggregate_evaluate` are the wrapper's, all else is its
own, `super()` and private attributes included. While the wrapper calls the strategy, and when it is pickled or copied,
it has its own class. Knows strategies. Does not know messages.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flwr.serverapp.strategy import Strategy

log = logging.getLogger("flwr")

_ROUTED = ("configure_train", "aggregate_train", "configure_evaluate", "aggregate_evaluate")


def has_own_start(strategy: Strategy) -> bool:
    """Whether a strategy overrides Flower's `Strategy.start`."""
    return type(strategy).start is not Strategy.start


def timeout_of(start: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> float:
    """The argument `timeout` of a call of `start`, in seconds; an hour, Flower's default, if it has no such number.

    Raises:
        TypeError: `start` does not take these arguments.
    """
    bound = inspect.signature(start).bind(*args, **options)
    bound.apply_defaults()
    found = bound.arguments.get("timeout", options.get("timeout"))
    return float(found) if isinstance(found, int | float) else 3600.0


def rounds_of(start: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> int:
    """The argument `num_rounds` of a call of Flower's `start`."""
    bound = inspect.signature(start).bind(*args, **options)
    bound.apply_defaults()
    return int(bound.arguments["num_rounds"])


class OwnStart:
    """The inner strategy's `start`, to be called with its own arguments once.

    Args:
        inner: a strategy that overrides `start`.
        outer: the wrapper.
    """

    def __init__(self, inner: Strategy, outer: Strategy) -> None:
        self._inner = inner
        self._class = type(inner)
        self._called: set[str] = set()
        names: dict[str, Any] = {name: self._through(getattr(outer, name)) for name in _ROUTED}
        names |= {name: getattr(self._class, name) for name in ("__module__", "__qualname__", "__doc__")}
        names |= {"__reduce_ex__": lambda inner, protocol: self._reduce(inner, protocol)}
        metaclass: Any = type(self._class)
        self._routed: type[Strategy] = metaclass(self._class.__name__, (self._class,), names)

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Run `start`; give what it gives, and raise what it raises, with a note if it seems to bypass the wrapper."""
        log.info("surp-fl: %s runs its own start(); DecodeUpdates decodes its rounds", self._class.__name__)
        with self._as(self._routed):
            try:
                result = self._inner.start(*args, **options)
            except BaseException as fault:  # Flower 1.22 and 1.23 derive theirs from it
                if bypassed := self._bypassed():
                    fault.add_note(f"surp-fl: when this happened, {bypassed}")
                raise
        if bypassed := self._bypassed():
            log.warning("surp-fl: %s", bypassed)
        return result

    def _through(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def routed(_: Strategy, *args: Any, **options: Any) -> Any:
            self._called.add(method.__name__)
            with self._as(self._class):
                return method(*args, **options)

        return routed

    def _reduce(self, inner: Strategy, protocol: Any) -> Any:
        """What pickle and copy make of a strategy of its own class; its constructor is hidden from pickle's check."""
        with self._as(self._class):
            made: Any = inner.__reduce_ex__(protocol)
        return (_made, made[:2], *made[2:])

    @contextmanager
    def _as(self, wanted: type[Strategy]) -> Iterator[None]:
        before = type(self._inner)
        object.__setattr__(self._inner, "__class__", wanted)
        try:
            yield
        finally:
            object.__setattr__(self._inner, "__class__", before)

    def _bypassed(self) -> str:
        missing = [f"self.{name}" for name in _ROUTED[:2] if name not in self._called]
        if not missing:
            return ""
        return (
            f"{self._class.__name__}.start() had not called {' and '.join(missing)}: DecodeUpdates decodes only rounds "
            "that go through self.configure_train and self.aggregate_train; if it calls super()'s methods or those of "
            "another object instead, call self's"
        )


def _made(make: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    return make(*arguments)
