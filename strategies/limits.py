"""How much a reply may hold: known before anything in it is decoded, and whatever its client was asked for.

Knows Flower's records. Does not know how messages are decoded.
"""

from __future__ import annotations

from flwr.app import ConfigRecord, MetricRecord, RecordDict

from surp_fl.codecs.dense import longest
from surp_fl.errors import MalformedMessage
from surp_fl.flower.protocol import BUDGET, NAME, STATISTICS
from surp_fl.layout import Layout
from surp_fl.printable import is_name
from surp_fl.printable import name as quoted

MOST_NUMBERS = 1000  # in the metrics of a reply; Flower logs them, and adds them up
_NAMES = "expected a name of at most 200 characters, all of which can be printed: rename it in the app"


def most_bytes(content: RecordDict, layout: Layout) -> int:
    """The payload that the answer to a train message may have.

    Args:
        content: of the train message, as it is sent: what it says to the client under "surp-fl:budget" holds, the
            least where several configs say something.
        layout: of the model that it brings. No client sends more than dense messages, whatever its scheme: one of the
            trained arrays, tied ones each by itself, and one of the running statistics.

    Returns:
        Bytes.
    """
    told = [config[BUDGET] for config in content.config_records.values() if BUDGET in config]
    budgets = [budget for budget in told if isinstance(budget, int) and not isinstance(budget, bool)]
    most = longest(layout.untied) + (longest(layout.of_statistics) if layout.statistics else 0)
    return min([most, *budgets])


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
    """Bytes in a reply's record that count against the budget: the message, and the section of running statistics.

    Integer arrays that changed travel whole in any case; what they can take is bounded by the model.
    """
    sections = [record.get(key) for key in (NAME, STATISTICS)]
    return sum(len(section) for section in sections if isinstance(section, bytes))


def check_numbers(record: ConfigRecord | MetricRecord) -> None:
    """Refuse metrics that are too many to be logged, or that have names that cannot be.

    Raises:
        MalformedMessage: they are.
    """
    numbers = 0
    for key, value in record.items():
        if isinstance(record, ConfigRecord) and key.startswith(NAME):
            if isinstance(value, str) and not is_name(value):
                raise MalformedMessage(f"it names a record of the app's {quoted(value)}; {_NAMES}")
            continue
        numbers += len(value) if isinstance(value, list) else 1
        if not is_name(key):
            raise MalformedMessage(f"it has a metric {quoted(key)}; {_NAMES}")
    if numbers > MOST_NUMBERS:
        raise MalformedMessage(
            f"its metrics are {numbers:,} numbers; expected at most {MOST_NUMBERS:,}, each element of a list counted: "
            "let the client report sums or means"
        )
