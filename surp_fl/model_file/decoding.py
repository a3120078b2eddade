"""The bytes of a model file → the model, whole or coarser; `encoding.py` mirrors it.

Before memory is allocated, what the manifest claims is compared with a limit: a file of a few bytes may stand for any
number of zeros.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from surp_fl import lossless
from surp_fl.array_spec import ArraySpec
from surp_fl.codecs.surp.decoder import read
from surp_fl.entropy.bitio import MalformedBits
from surp_fl.errors import MalformedMessage
from surp_fl.layout import Layout
from surp_fl.model_file.container import Sections, sections_of
from surp_fl.model_file.gains import gains_for, norms_of
from surp_fl.model_file.manifest import Entry, Manifest, Role, read_manifest
from surp_fl.model_file.model import IN_MEMORY, Model, rounded_to
from surp_fl.model_file.scales import Scales, read_scales
from surp_fl.model_file.small_arrays import MAX_SMALL, read_small
from surp_fl.types import Arrays, Vector
from surp_fl.updates import as_vector

_PIECE = 1 << 20  # coordinates that are held in float64
MAX_BYTES = 1 << 30  # of all arrays, unless the caller allows more
_NOT_OF_NUMPY = ("BF16", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ")


@dataclass(frozen=True)
class Opened:
    """A model file whose header was checked, and whose arrays are not decoded yet.

    Attributes:
        sections: its parts.
        manifest: what arrays there are.
        layout: of the arrays in the SuRP message.
        scales: of these arrays.
    """

    sections: Sections
    manifest: Manifest
    layout: Layout
    scales: Scales


def opened(data: bytes, max_bytes: int = MAX_BYTES) -> Opened:
    """Check a file and read its header.

    Args:
        data: a model file, whole or cut.
        max_bytes: that all arrays may take.

    Raises:
        MalformedMessage: it is no model file, damaged, cut within its header, or its arrays take more than `max_bytes`.
    """
    sections = sections_of(data)
    manifest = read_manifest(sections.manifest)
    claimed = sum(entry.nbytes for entry in manifest.entries)
    if claimed > max_bytes:
        raise MalformedMessage(
            f"a file of {len(data):,} bytes whose arrays take {claimed:,}; at most {max_bytes:,} are allowed: if you "
            "trust it, give a larger max_bytes (--max-bytes)"
        )
    if (small := sum(entry.size for entry in manifest.of(Role.SMALL, Role.MEAN, Role.VARIANCE))) > MAX_SMALL:
        raise MalformedMessage(f"small arrays of {small:,} coordinates in a model file; at most {MAX_SMALL:,} can be")
    layout = layout_of(manifest)
    return Opened(sections, manifest, layout, read_scales(sections.scales, layout))


def layout_of(manifest: Manifest) -> Layout:
    """The layout of the arrays in the SuRP message."""
    dtype = np.dtype(np.float32)
    return Layout(tuple(ArraySpec(entry.name, entry.shape, dtype) for entry in manifest.of(Role.WEIGHT)))


def vector_of_body(body: bytes, layout: Layout) -> Vector:
    """What a body says; zeros for an empty one.

    Raises:
        MalformedMessage: it is not valid.
    """
    if not body:
        return np.zeros(layout.size, np.float32)
    try:
        vector = as_vector(read(body, layout, None), layout.size)
    except MalformedBits as fault:
        raise MalformedMessage(f"the SuRP message of the model file is not valid: {fault}") from fault
    if not np.isfinite(vector).all():
        raise MalformedMessage("the SuRP message of the model file decodes to infinity, which no encoder writes")
    return vector


def model_of(file: Opened) -> Model:
    """Decode a file.

    Raises:
        MalformedMessage: it is not valid.
    """
    manifest = file.manifest
    exact = [(entry.name, entry.shape, IN_MEMORY[entry.dtype]) for entry in manifest.of(Role.EXACT)]
    if not exact and file.sections.exact:
        raise MalformedMessage("the model file has a section of arrays without loss, and no such arrays")
    arrays = lossless.decompress(file.sections.exact, exact) if exact else {}
    arrays |= read_small(file.sections.small, manifest.of(Role.SMALL, Role.MEAN, Role.VARIANCE))
    arrays |= _weights_of(file)
    for entry in manifest.of(Role.COPY):
        arrays[entry.name] = arrays[manifest.entries[entry.source].name].copy()
    dtypes = {entry.name: entry.dtype for entry in manifest.entries if entry.dtype in _NOT_OF_NUMPY}
    return Model({entry.name: arrays[entry.name] for entry in manifest.entries}, dtypes, dict(manifest.metadata))


def _weights_of(file: Opened) -> Arrays:
    """The arrays in the SuRP message: multiples of their units, with their gains."""
    vector = vector_of_body(file.sections.body, file.layout)
    entries: list[Entry] = file.manifest.of(Role.WEIGHT)
    left = norms_of(vector, file.layout, [file.scales.rows(place) for place in range(len(entries))])
    found: Arrays = {}
    for place, (entry, end) in enumerate(zip(entries, file.layout.ends.tolist(), strict=True)):
        factors = file.scales.unit(place) * gains_for(file.scales.row_norms(place), left[place])
        rows = vector[end - entry.size : end].reshape(len(factors), -1)
        array = np.empty(rows.shape, IN_MEMORY[entry.dtype])
        columns = max(1, _PIECE // len(factors))
        for start in range(0, rows.shape[1], columns):
            piece = slice(start, min(start + columns, rows.shape[1]))
            values = np.multiply(rows[:, piece], factors[:, None], dtype=np.float64)
            array[:, piece] = rounded_to(entry.dtype, values)
        found[entry.name] = array.reshape(entry.shape)
    return found
