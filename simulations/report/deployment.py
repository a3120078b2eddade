"""What a deployment moved, as a table: payloads, Flower's own count, and bytes on the wire."""

from __future__ import annotations

import math
from statistics import fmean
from typing import Any

from simulations.report import markdown
from simulations.report.rows import downlink_text, text_of


def table(accounts: list[dict[str, Any]]) -> str:
    """Show the accounts as a Markdown table, a run a column."""
    first = accounts[0]
    evaluating = (
        f", of which {first['fraction_evaluate']:.0%} evaluate the model too" if first["fraction_evaluate"] else ""
    )
    head = (
        f"A SuperLink and {first['clients']} SuperNodes on loopback{evaluating}, {first['rounds']} rounds; bytes per "
        "client and round. On the wire: HTTP messages, heads and bodies, without TCP/IP headers and without TLS; *all* "
        "counts polling and heartbeats too."
    )
    lines: list[list[str]] = []

    def show(what: str, name: str) -> None:
        lines.append(_line(what, [each[name] for each in accounts]))

    def show_rounds(what: str, name: str) -> None:
        lines.append(_line(f"{what}, round 1", [each[name][0] for each in accounts]))
        lines.append(_line(f"{what}, later", [_later(each[name]) for each in accounts]))

    show("payload up", "payload_bytes_up")
    show_rounds("payload down", "payload_bytes_down_by_round")
    show("reply record up", "record_bytes_up")
    show_rounds("records down", "record_bytes_down_by_round")
    turns = first["rounds"] * first["clients"]
    replies = [each["wire_bytes_reply_up"] * each["replies"] / turns for each in accounts]
    lines.append(_line("wire: replies, up", replies))
    show("wire: fetching messages, up", "wire_bytes_broadcast_up")
    show("wire: fetching messages, down", "wire_bytes_broadcast_down")
    show_rounds("wire: all up", "wire_bytes_up_by_round")
    show_rounds("wire: all down", "wire_bytes_down_by_round")
    for path in sorted({path for each in accounts for path in each.get("requests", {})}):
        counts = [each.get("requests", {}).get(path, 0) for each in accounts]
        lines.append([f"requests: {path}", *(f"{count:.1f}" for count in counts)])
    both = [
        [up + down for up, down in zip(each["wire_bytes_up_by_round"], each["wire_bytes_down_by_round"], strict=True)]
        for each in accounts
    ]
    lines.append(_line("**wire: all, both ways, later**", list(map(_later, both)), compared=True))
    lines.append(_line(f"**wire: all, both ways, {first['rounds']} rounds**", list(map(sum, both)), compared=True))
    return f"{head}\n\n{markdown.table(['', *map(_label, accounts)], lines)}"


def _later(by_round: list[float]) -> float:
    """The mean of the rounds after the first, which brings the whole model."""
    return fmean(by_round[1:]) if len(by_round) > 1 else math.nan


def _line(what: str, sizes: list[float], compared: bool = False) -> list[str]:
    """A line of the table; with how many times fewer bytes than the first one's they are."""
    fewer = [
        f" ({sizes[0] / size:,.3g}× fewer)" if compared and place and size else "" for place, size in enumerate(sizes)
    ]
    return [what, *(f"{size:,.0f}{text}" for size, text in zip(sizes, fewer, strict=True))]


def _label(each: dict[str, Any]) -> str:
    down = f", down {downlink_text(each['downlink'])}" if each["downlink"] else ""
    lean = ", initial model made by clients" if each.get("known_initial") else ""
    lean += ", evaluated with training" if each.get("evaluate_with_train") else ""
    return text_of(each["scheme"], each["budget"], {}) + down + lean
