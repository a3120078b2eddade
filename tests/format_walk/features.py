"""What messages may contain, and why they may be refused: a run of the generator has to come by each of these."""

from __future__ import annotations

OF_BODIES = (
    "no context",
    "the model as context",
    "model and history as context",
    "history without a recent layer",
    "terms before groups",
    "trellis mode",
    "trellis mode with terms",
    "trellis mode with factors",
    "carry",
)
OF_GROUPS = (
    "first group",
    "disjoint group",
    "overlapping group",
    "a coordinate that comes again",
    "a magnitude that is larger than the one before",
    "a magnitude that is smaller than the one before",
    "a magnitude as the one before",
    "a magnitude limited to float32's range",
    "a count of 0 at the end",
)
OF_SETS = (
    "layer without tables",
    "layer with tables",
    "exponents of rows and columns",
    "recent layer",
    "picks beside the recent layer",
    "split of one pick",
    "split of a few picks",
    "split of 1024 picks or more",
    "split with a frequency of 0 sent as 1",
    "row as one symbol",
    "column as one symbol",
    "one pick, but too large weights",
    "weights of one pick limited",
    "weights limited",
    "range with coded cells",
    "range with cells of the recent layer",
    "range of which all cells are picked",
)
OF_TERMS = (
    "a term of a layer without tables",
    "a term of a layer with tables",
    "counts of terms halved",
)
OF_FACTORS = (
    "components of several layers",
    "no components",
    "a component whose left factor is 0",
)
OF_TRELLIS_MODE = (
    "offsets of their own",
    "a layer of zeros",
    "a layer of one row",
    "a layer of several rows",
    "a row of zeros",
    "a row of several runs",
    "no lags",
    "lags of the layer's own",
    "lags of the layer before",
    "a level with more than 16 lower bits",
    "a level of 24 bits",
    "a level limited to float32's range",
    "counts of flags halved",
    "counts of signs halved",
)
OF_CASES = (
    "a message that is cut",
    "a message that is cut before its credit is overdrawn",
    "a message that is cut before it breaks a limit",
    "a message that is damaged",
)
REFUSED = (
    "overdrawn credit",
    "something follows the end of the message",
    "a code that is not below the range",
    "a value beyond float32",
    "a uint is too long",
    "too many picks of a group",
    "more picks than free cells",
    "a magnitude's code out of range",
    "no terms, or too many",
    "terms, but no layer that could have some",
    "no such kind of trellis mode",
    "too many components",
    "a component's magnitude out of range",
    "a step of 0",
    "a mean's code out of range",
    "lags that do not ascend",
)
FEATURES = (*OF_BODIES, *OF_GROUPS, *OF_SETS, *OF_TERMS, *OF_FACTORS, *OF_TRELLIS_MODE, *OF_CASES, *REFUSED)
