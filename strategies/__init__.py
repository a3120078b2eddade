"""The server's side: a strategy around any other Flower strategy. Installed as `surp_fl.strategies`."""

from surp_fl.strategies.budgets import FallingBudget
from surp_fl.strategies.decode_updates import DecodeUpdates, NoUsableReply
from surp_fl.strategies.traffic import Traffic

__all__ = ["DecodeUpdates", "FallingBudget", "NoUsableReply", "Traffic"]
