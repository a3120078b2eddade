"""An analysis as people read it: what was asked, a table, which option is sensible and why, and what stands out."""

from __future__ import annotations

from collections.abc import Callable

from surp_fl.planning.federation import Federation
from surp_fl.planning.options import RULE, Analysis, Option

_COLUMNS: dict[str, Callable[[Option], str]] = {
    "budget up": lambda option: "dense" if option.budget is None else f"{option.budget:,}",
    "budget down": lambda option: shown_downlink(option.downlink),
    "payload up": lambda option: f"{option.payload_up:,.0f}",
    "payload down": lambda option: f"{option.payload_down:,.0f}",
    "wire up": lambda option: f"{option.wire_up:,.0f}",
    "wire down": lambda option: f"{option.wire_down:,.0f}",
    "transfer": lambda option: f"{option.transfer_seconds:,.2f} s",
    "round": lambda option: f"{option.round_seconds:,.1f} s",
    "run, payload": lambda option: f"{option.run_payload / 1e6:,.2f} MB",
    "run, wire": lambda option: f"{option.run_wire / 1e6:,.2f} MB",
    "run, time": lambda option: shown_time(option.run_seconds),
    "fewer": lambda option: f"{option.fewer:,.3g}×",
}
_NOTES = (
    "payload, wire: bytes of a client in a round that it takes part in, its first apart. wire: HTTP heads and bodies,",
    "with polls and heartbeats, without TLS and TCP/IP. run: all clients, both ways. fewer: than dense, on the wire.",
    "No word on accuracy: what budgets did to it is in docs/results.md.",
)
_TELLING = 0.5  # share of a round's bytes that is worth a sentence


def as_text(analysis: Analysis) -> str:
    """Format an analysis: a table of all options, the sensible one, and what stands out."""
    lines = [protocol(analysis.federation), ""]
    lines += _aligned([list(_COLUMNS)] + [_cells(each) for each in (analysis.dense, *analysis.options)])
    chosen = analysis.sensible
    lines += ["", *_NOTES, "", f"sensible: {shown_option(chosen)}"]
    lines += [f"rule: {RULE}"]
    return "\n".join(lines + [f"- {fact}" for fact in facts(analysis)])


def protocol(federation: Federation) -> str:
    """Say what was asked about, in two lines."""
    share = "" if federation.taking_part == federation.clients else f" ({federation.taking_part:,} a round)"
    evaluating = ", which evaluate too" if federation.evaluate else ""
    return (
        f"{federation.parameters:,} parameters ({federation.whole_model:,} B in {federation.arrays:,} arrays), "
        f"{federation.clients:,} clients{share}{evaluating}, {federation.rounds:,} rounds;\n"
        f"{federation.uplink_mbit:g} Mbit/s up, {federation.downlink_mbit:g} down, {federation.latency_ms:g} ms, "
        f"{federation.training_seconds:g} s of training a round"
    )


def facts(analysis: Analysis) -> list[str]:
    """What stands out, a sentence each: what budgets change, and where the other bytes are."""
    federation, chosen = analysis.federation, analysis.sensible
    alike = [each for each in analysis.options if each.downlink == chosen.downlink]
    least, most = alike[0], alike[-1]
    found = [_difference(least, other) for other in dict.fromkeys((chosen, most)) if other != least]
    own = chosen.wire - chosen.payload_up - chosen.payload_down
    found.append(f"Flower's own bytes are {own:,.0f} of the {chosen.wire:,.0f} B of a round ({own / chosen.wire:.0%})")
    if chosen.payload_down > _TELLING * chosen.wire:
        found.append(
            f"what goes down is {chosen.payload_down / chosen.wire:.1%} of a round's bytes: compress it, "
            "with downlink= and --downlink 2000"
        )
    if federation.evaluate:
        found.append("evaluation is a second exchange in every round: fraction_evaluate=0 saves it")
    if federation.taking_part < federation.clients:
        found.append("clients that sit a round out poll all the same; the bytes of the run include them")
    if chosen.round_seconds > 0:
        rest = chosen.round_seconds - federation.training_seconds - chosen.transfer_seconds
        found.append(
            f"a round is {federation.training_seconds:g} s of training, {chosen.transfer_seconds:.2g} s of transfer, "
            f"{rest:.2g} s of polling and round trips"
        )
    return found


def _difference(least: Option, other: Option) -> str:
    more, slower = other.wire / least.wire - 1, other.run_seconds / least.run_seconds - 1
    of_run = other.run_wire / least.run_wire - 1
    return (
        f"{other.budget:,} B up in place of {least.budget:,} B: {more:.1%} more bytes on the wire in a round, "
        f"{of_run:.1%} more in the run, {slower:.1%} more time"
    )


def shown_option(option: Option) -> str:
    """Name an option."""
    up = "dense" if option.budget is None else f"{option.budget:,} B up"
    down = "whole models down" if option.downlink is None else f"{option.downlink:,} B down"
    return f"{up}, {down}: {option.fewer:,.3g}× fewer bytes than dense, {shown_time(option.run_seconds)}"


def shown_downlink(downlink: int | None) -> str:
    """Name a budget down."""
    return "model" if downlink is None else f"{downlink:,}"


def shown_time(seconds: float) -> str:
    """A time in the unit that suits it.

    >>> shown_time(42), shown_time(1_800), shown_time(90_000)
    ('42 s', '30.0 min', '25.0 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def _cells(option: Option) -> list[str]:
    return [cell(option) for cell in _COLUMNS.values()]


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
