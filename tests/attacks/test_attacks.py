"""Every attack fails to do harm; and does harm where the defence is switched off, so that its checks bite."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from surp_fl import TopK
from surp_fl.codecs.reader import Reader
from surp_fl.strategies import replies
from tests.attacks.__main__ import main
from tests.attacks.attack import BrokenPromiseError, Outcome
from tests.attacks.every_attack import ATTACKS

pytestmark = pytest.mark.slow

SLOWER = 0.05  # seconds


@pytest.mark.parametrize("name", ATTACKS)
def test_the_attack_does_no_harm(name: str) -> None:
    outcomes = ATTACKS[name]()
    assert outcomes
    assert all(isinstance(each, Outcome) and each.measured for each in outcomes)


def _nothing(*_: Any) -> None:
    return None


def _unlimited(data: bytes, limit: int, what: str) -> bytes:
    return zlib.decompress(data, -zlib.MAX_WBITS)


def _infinite(norms: Any, medians: Any, proportion: float) -> float:
    return float("inf")


def _of_any_scheme(parsed: Any, registry: Any, scheme: Any) -> replies.DecodedReply:
    return replies.decode(parsed, registry, None)


def _forgetful(memory: Any, wanted: Any, sent: Any, state: Any) -> dict[str, Any]:
    return {"residual": (wanted - sent) / 2}


def _slower(decode: Callable[..., Any]) -> Callable[..., Any]:
    def slowly(*arguments: Any, **options: Any) -> Any:
        end = time.process_time() + SLOWER
        while time.process_time() < end:
            pass
        return decode(*arguments, **options)

    return slowly


WITHOUT: dict[str, tuple[str, str, Any]] = {
    "inflating to a limit": ("memory bomb", "surp_fl.integer_arrays.inflated", _unlimited),
    "padding of lossless models": ("memory bomb", "surp_fl.lossless.model.MAX_RATIO", 1 << 60),
    "changes that bytes pay for": ("memory bomb", "surp_fl.merged_change._MAX_CHANGES_PER_BYTE", 1 << 40),
    "decoders that are fast": ("time bomb", "surp_fl.codecs.reader.Reader.decode", _slower(Reader.decode)),
    "a context": ("replay", "tests.attacks.replay.SuRP", lambda budget, progressive: TopK(budget=4 * budget)),
    "a residual": ("forged applied", "surp_fl.memory.ErrorFeedback.settle", _forgetful),
    "this version": ("foreign version", "surp_fl.frame.VERSION", 2),
    "a limit of bytes": ("over budget", "surp_fl.strategies.replies.check_payload", _nothing),
    "a limit of norms": ("poison", "surp_fl.strategies.norm_check.norm_limit", _infinite),
    "a check for NaN": ("poison", "surp_fl.codecs.reader.values_of", lambda update: np.zeros(1, np.float32)),
    "a limit of metrics": ("metric flood", "surp_fl.strategies.replies.check_numbers", _nothing),
    "a limit of lines": ("log flood", "surp_fl.strategies.replies.LINES", 1 << 30),
    "escaped text": ("log flood", "surp_fl.printable._escaped", lambda text: text),
    "a check of the residual's size": ("state confusion", "surp_fl.flower.client_state._fits", lambda *_: True),
    "a form of evaluations": (
        "metric flood of evaluations",
        "surp_fl.strategies.replies._evaluation_form_of",
        lambda reply: frozenset({("metrics", frozenset())}),
    ),
    "one scheme": ("downgrade", "surp_fl.strategies.decode_updates.decode", _of_any_scheme),
}


@pytest.mark.parametrize("defence", WITHOUT)
def test_without_the_defence_the_attack_does_harm(defence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    attack, target, instead = WITHOUT[defence]
    monkeypatch.setattr(target, instead)
    with pytest.raises(BrokenPromiseError):
        ATTACKS[attack]()


def test_a_defence_is_switched_off_for_every_attack() -> None:
    assert {attack for attack, _, _ in WITHOUT.values()} == {*ATTACKS}


def test_the_table_tells_of_harm(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def harmful() -> list[Outcome]:
        raise BrokenPromiseError("the model is not finite")

    monkeypatch.setitem(ATTACKS, "harmful", harmful)
    monkeypatch.setitem(ATTACKS, "harmless", lambda: [Outcome("a try", "refused", "1 B", "0 B")])
    assert main(["harmless", "harmful"]) == 1
    printed = capsys.readouterr().out
    assert "| harmless | a try | refused | 1 B | 0 B |" in printed
    assert "| harmful | **succeeds** | the model is not finite | | |" in printed
