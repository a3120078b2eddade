"""surp-fl: federated learning uploads of two hundred bytes, for Flower.

The data path of one update, one line per file:

    layout.py    a model's trained arrays ↔ one float32 vector
    statistics.py  running statistics of batch normalization ↔ changes in units of their own
    memory.py    wanted = delta + residual; residual ← wanted − sent
    context.py   what both ends know before a message: the model, and what it was
    immutable.py vectors that nobody can write to: what is read off one can be kept
    select.py    what to say within a budget (largest.py finds the candidates)
    surp.py      magnitudes → the walk of Algorithm 2 (its compiled loops: _surp_loops.py)
    coding/      integers ↔ bits
    codecs/      one scheme per file: vector ↔ body
    message.py   body ↔ message: four bytes of version, scheme and integrity
    change.py    messages, statistics and integer arrays (exact.py): all sections of a change, within one budget
    record.py    a change and metrics ↔ one Flower ConfigRecord
    client.py    the Flower mod: what is trained goes in, a record comes out
    state.py     what the mod keeps between rounds
    printable.py what the other end sent, cut and escaped for a log
    broadcast.py the way down: whole models as one array, or what changed
    strategies/  the Flower strategy around any other: records go in, ordinary replies come out
    cli.py       `surp-fl inspect`: what a stored message says (stored.py reads the files)
"""

from surp_fl.client import CompressUpdates
from surp_fl.codecs import truncate
from surp_fl.codecs.dense import Dense
from surp_fl.codecs.dgc import DGC
from surp_fl.codecs.paper import PaperSuRP
from surp_fl.codecs.qsgd import QSGD
from surp_fl.codecs.r_top_k import RTopK
from surp_fl.codecs.stc import STC
from surp_fl.codecs.surp import SuRP
from surp_fl.codecs.top_k import TopK
from surp_fl.layout import Layout
from surp_fl.memory import ErrorFeedback, MomentumCorrection, NoMemory
from surp_fl.message import MalformedMessage

__all__ = [
    "DGC",
    "QSGD",
    "STC",
    "CompressUpdates",
    "Dense",
    "ErrorFeedback",
    "Layout",
    "MalformedMessage",
    "MomentumCorrection",
    "NoMemory",
    "PaperSuRP",
    "RTopK",
    "SuRP",
    "TopK",
    "truncate",
]
