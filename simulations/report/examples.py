"""What the small example apps reach, as they are and compressed, as a table."""

from __future__ import annotations

from typing import Any

from simulations.report import markdown


def table(outcomes: list[dict[str, Any]]) -> str:
    """Show the outcomes as a Markdown table, an app a line; each app's plain run stands before its compressed one."""
    lines = []
    for plain, compressed in zip(outcomes[::2], outcomes[1::2], strict=True):
        lines.append(
            [
                f"`{plain['app']}`",
                f"{plain['rounds']}",
                f"{compressed['model_bytes']:,}",
                f"{compressed['payload_bytes_up']:,.0f}",
                f"{plain['accuracy']:.1%}",
                f"{compressed['accuracy']:.1%}",
                f"{plain['loss']:.3f}",
                f"{compressed['loss']:.3f}",
            ]
        )
    header = ["app", "rounds", "model [B]", "a reply's payload [B]"]
    return markdown.table([*header, "accuracy", "accuracy, compressed", "loss", "loss, compressed"], lines)
