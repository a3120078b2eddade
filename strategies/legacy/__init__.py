"""The server's side of legacy Flower apps, those with `NumPyClient` and `flwr.server`.

    decode_legacy_updates.py   the strategy of `flwr.server` around another one
    translation.py             the inner strategy in the form of the message API, so that `DecodeUpdates` can wrap it
    client_proxies.py          sends the messages of `DecodeUpdates` where the server asks a client to fit or evaluate
    conversions.py             legacy types ↔ records
    inner_strategies.py        which strategies can be inside, and how they aggregate
    flower_types.py            Flower's legacy names, imported there alone

All decoding is that of `DecodeUpdates`.
"""

from surp_fl.strategies.legacy.decode_legacy_updates import DecodeLegacyUpdates

__all__ = ["DecodeLegacyUpdates"]
