"""How much a reply may hold: known before anything in it is decoded, and whatever its client was asked for.

Knows Flower's records. Does not know how messages are decoded.
"""

from __future__ import annotations

from flwr.app import ConfigRecord, RecordDict

from surp_fl.codecs.dense import longest
from surp_fl.layout import Layout
from surp_fl.message import MalformedMessage
from surp_fl.record import BUDGET, NAME


def most_bytes(content: RecordDict, layout: Layout) -> int:
    """The payload that the answer to a train message may have.

    Args:
        content: of the train message, as it is sent: what it says to the client under "surp-fl:budget" holds, the
            least where several configs say something.
        layout: of the model that it brings. No client sends more than the dense message, whatever its scheme.

    Returns:
        Bytes.
    """
    told = [config[BUDGET] for config in content.config_records.values() if BUDGET in config]
    budgets = [budget for budget in told if isinstance(budget, int) and not isinstance(budget, bool)]
    return min([longest(layout), *budgets])


def check_payload(payload: int, most: int) -> None:
    """Refuse what is longer than its client was told, or than any client's message.

    Args:
        payload: bytes of the message, and of what counts against its budget with it.
        most: bytes.

    Raises:
        MalformedMessage: it is more.
    """
    if payload > most:
        raise MalformedMessage(
            f"it came with {payload:,} B; expected at most {most:,}, which is the budget that this client was told, or "
            "the size of the dense message: CompressUpdates keeps to both, so give this client's app the mod of this "
            "version, and a scheme with a budget"
        )


def payload_of(record: ConfigRecord) -> int:
    """Bytes in a reply's record that count against the budget: the message."""
    message = record.get(NAME)
    return len(message) if isinstance(message, bytes) else 0
