"""Model files: a trained model as one file of a chosen size, whose every prefix is a coarser model.

    calls.py          what others call
    encoding.py       a model → a file within a budget; decoding.py mirrors it
    container.py      the bytes: a header, then a SuRP message in chunks with checks; cutting a file
    manifest.py       names, shapes, dtypes and roles of the arrays ↔ bytes (varints.py)
    model.py          arrays, and dtypes that NumPy lacks
    roles.py          which array is coded how
    small_arrays.py   biases, normalizations and running statistics ↔ bytes (small_units.py)
    weighting.py      units of the weights' arrays, which weight their errors (scales.py ↔ bytes)
    gains.py          what scales a coarse array back to its norm
    search.py         the smallest file that is accurate enough
    safetensors_files.py  models ↔ files of that format

The weights are one SuRP message without a reference (`codecs/surp/quantised_body.py`). Knows arrays and bytes. Does not
know files or Flower.
"""

from surp_fl.model_file.calls import approximate, compress, decompress, decompress_model
from surp_fl.model_file.container import cut, is_model_file
from surp_fl.model_file.model import Model

__all__ = ["Model", "approximate", "compress", "cut", "decompress", "decompress_model", "is_model_file"]
