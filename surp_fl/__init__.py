"""surp-fl: federated learning uploads of two hundred bytes, for Flower.

The data path of one update:

    layout.py            a model's trained arrays ↔ one float32 vector (array_spec.py, tied_arrays.py)
    memory.py            wanted = delta + residual; residual ← wanted − sent
    codecs/              one file or folder per scheme: vector ↔ body of a message
    entropy/             integers ↔ bits: range coder, Golomb–Rice, fixed width
    frame.py             body ↔ message: four bytes of version, scheme and integrity
    change.py            message, running statistics (statistics_section.py), integer arrays ↔ one change
    flower/client_mod.py the Flower mod: a trained model → a compressed reply; client_state.py stores the client's state
    flower/records.py    a change and metrics ↔ one Flower ConfigRecord; protocol.py defines every key
    strategies/          the Flower strategy around any other: compressed replies → ordinary replies

Beside it: model_file/ makes a trained model one file of a chosen size, pruning/ prunes whole models, topk.py finds the
largest coordinates (vector_scans.py), flower/model_messages.py and received_model.py are the downlink, testing.py runs
Flower apps in one process, planning/ works out what budgets cost, cli/ is `surp-fl compress`, `decompress`, `inspect`
and `plan`.
Only flower/, strategies/ and testing.py import Flower, so that the codecs work without it. A file with a `.pxd` file
beside it is compiled when the package is built.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from surp_fl import _compiled
from surp_fl.codecs import (
    DGC,
    EDEN,
    QSGD,
    SBC,
    STC,
    Cast,
    Dense,
    FedPAQ,
    LaplacianSuRP,
    PaperSuRP,
    PowerSGD,
    RandomK,
    RTopK,
    SignSGD,
    SuRP,
    TernGrad,
    TopK,
    UnbiasedSuRP,
    truncate,
)
from surp_fl.entropy import range_coder
from surp_fl.errors import MalformedMessage
from surp_fl.layout import Layout
from surp_fl.memory import ErrorFeedback, ErrorFeedbackAndLastSent, MomentumCorrection, NoMemory

if TYPE_CHECKING:
    from surp_fl.flower.client_mod import CompressUpdates

_compiled.warn_unless_compiled(range_coder)

try:
    __version__ = version("surp-fl")
except PackageNotFoundError:  # run from a folder of sources that was never installed
    __version__ = "0+unknown"

__all__ = [
    "DGC",
    "EDEN",
    "QSGD",
    "SBC",
    "STC",
    "Cast",
    "CompressUpdates",
    "Dense",
    "ErrorFeedback",
    "ErrorFeedbackAndLastSent",
    "FedPAQ",
    "LaplacianSuRP",
    "Layout",
    "MalformedMessage",
    "MomentumCorrection",
    "NoMemory",
    "PaperSuRP",
    "PowerSGD",
    "RTopK",
    "RandomK",
    "SignSGD",
    "SuRP",
    "TernGrad",
    "TopK",
    "UnbiasedSuRP",
    "__version__",
    "truncate",
]


def __getattr__(name: str) -> Any:
    """Import the Flower mod where it is asked for: all else works without Flower."""
    if name == "CompressUpdates":
        from surp_fl.flower.client_mod import CompressUpdates

        return CompressUpdates
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
