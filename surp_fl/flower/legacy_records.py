"""Flower's legacy records, those of `NumPyClient` and `flwr.server`, and what `CompressUpdates` makes of them.

A legacy model is a list of arrays without names: Flower names them "0", "1", … by their place. A legacy reply has four
records, three of which hold a number or two; a compressed one has a single record: see protocol.py. Knows names and
records alone, and imports nothing of Flower's legacy modules.
"""

from __future__ import annotations

from typing import Any

from flwr.app import ConfigRecord, MetricRecord, RecordDict

from surp_fl.flower.protocol import NAME

FIT_ARRAYS = "fitins.parameters"
FIT_CONFIG = "fitins.config"
EVALUATE_ARRAYS = "evaluateins.parameters"
EVALUATE_CONFIG = "evaluateins.config"
FITTED_ARRAYS = "fitres.parameters"
FIT_METRICS = "fitres.metrics"
FIT_EXAMPLES = "fitres.num_examples"
FIT_STATUS = "fitres.status"
WEIGHT = "num-examples"  # the name of a legacy reply's number of examples beside those of the message API

NEEDS_LEGACY_APP = (
    "the server runs DecodeLegacyUpdates, which is for apps with a client_fn: for an app with @app.train(), give the "
    "ServerApp a function with @app.main() that starts DecodeUpdates around a strategy of flwr.serverapp.strategy"
)
_OK = 0  # flwr.common.Code.OK


def is_legacy(content: RecordDict) -> bool:
    """Whether a train message is one for a legacy app."""
    return FIT_ARRAYS in content.array_records


def without_directives(content: RecordDict) -> RecordDict:
    """The content of a legacy train message as the app expects it: its config without our entries.

    A legacy config holds single values, and Flower refuses the lists among our entries.
    """
    config = {key: value for key, value in content.config_records[FIT_CONFIG].items() if not key.startswith(NAME)}
    return RecordDict({**content, FIT_CONFIG: ConfigRecord(config)})


def message_content(content: RecordDict) -> RecordDict:
    """The content of a legacy app's train reply in the records of the message API, its own metrics under `FIT_METRICS`.

    Raises:
        ValueError: the app replied with another status than OK, or it is no legacy app.
    """
    if FITTED_ARRAYS not in content.array_records:
        raise ValueError(f"the app's reply holds {sorted(content)}; expected '{FITTED_ARRAYS}': {NEEDS_LEGACY_APP}")
    status: Any = content.config_records.get(FIT_STATUS, {})
    if status.get("code", _OK) != _OK:
        raise ValueError(
            f"the app's fit replied with status {status.get('code')} ({status.get('message')!r:.200}); expected "
            f"{_OK}, OK, and the trained arrays: implement fit(), and let it raise where it fails"
        )
    examples = dict(content.metric_records.get(FIT_EXAMPLES, {}))
    others = {name: record for name, record in content.config_records.items() if name != FIT_STATUS}
    found: dict[str, Any] = {
        **others,
        FIT_ARRAYS: content.array_records[FITTED_ARRAYS],
        "metrics": MetricRecord({WEIGHT: examples.get("num_examples", 0)}),
        FIT_METRICS: content.config_records.get(FIT_METRICS, ConfigRecord()),
    }
    return RecordDict(found)
