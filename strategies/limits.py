"""Bounds on the size of a reply, checked before anything in it is decoded.

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

MAX_METRIC_VALUES = 1000  # in a reply; Flower logs and aggregates them
_NAMES = "expected a name of at most 200 characters, all of which can be printed: rename it in the app"


def payload_limit(content: RecordDict, layout: Layout) -> int:
    """Bytes of payload that the reply to a train message may have.

    Args:
        content: of the train message, as it is sent. Its budget ("surp-fl:budget") applies, the least one where several
            configs have one.
        layout: of the model that it carries. No client sends more than dense messages, whatever its scheme: one of the
            trained arrays, with tied arrays counted separately, and one of the running statistics.

    Returns:
        Bytes.
    """
    announced = [config[BUDGET] for config in content.config_records.values() if BUDGET in config]
    budgets = [budget for budget in announced if isinstance(budget, int) and not isinstance(budget, bool)]
    dense = longest(layout.untied) + (longest(layout.of_statistics) if layout.statistics else 0)
    return min([dense, *budgets])


def check_payload(payload: int, limit: int) -> None:
    """Reject a payload above its limit.

    Args:
        payload: bytes of the sections that count against the budget, see `payload_of`.
        limit: bytes, see `payload_limit`.

    Raises:
        MalformedMessage: the payload is longer.
    """
    if payload > limit:
        raise MalformedMessage(
            f"it came with {payload:,} B; expected at most {limit:,}, which is the budget announced to this client, or "
            "the size of the dense message: CompressUpdates keeps to both, so give this client's app the mod of this "
            "version, and a scheme with a budget"
        )


def payload_of(record: ConfigRecord) -> int:
    """Bytes in a reply's record that count against the budget: the message, and the section of running statistics.

    Integer arrays that changed are sent whatever the budget is; the model bounds their size.
    """
    sections = [record.get(key) for key in (NAME, STATISTICS)]
    return sum(len(section) for section in sections if isinstance(section, bytes))


def check_numbers(record: ConfigRecord | MetricRecord) -> None:
    """Reject metrics that are too many to be logged, or whose names cannot be printed.

    Raises:
        MalformedMessage: there are such.
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
    if numbers > MAX_METRIC_VALUES:
        raise MalformedMessage(
            f"its metrics are {numbers:,} numbers; expected at most {MAX_METRIC_VALUES:,}, each element of a list "
            "counted: let the client report sums or means"
        )
