"""Gains scale a coarse array back; units weight the errors of arrays."""

from __future__ import annotations

import numpy as np
import pytest

from surp_fl.errors import MalformedMessage
from surp_fl.model_file import compress, cut, decompress
from surp_fl.model_file.gains import MAX_GAIN, gain_for
from surp_fl.model_file.scales import Scales, read_scales, write_scales
from surp_fl.model_file.weighting import WEIGHTINGS, codes_of_units
from tests.model_file.models import trained

MODEL = trained()
LAYERS = ("conv.weight", "hidden.weight", "last.weight")


def projections(file: bytes) -> list[float]:
    """<w, ŵ> / <w, w> of each layer."""
    found = decompress(file)
    return [float((MODEL[name] * found[name]).sum() / np.square(MODEL[name]).sum()) for name in LAYERS]


def norms(file: bytes) -> list[float]:
    found = decompress(file)
    return [float(np.linalg.norm(found[name]) / np.linalg.norm(MODEL[name])) for name in LAYERS]


@pytest.mark.parametrize("ratio", [8, 14, 18])
def test_by_default_the_projection_of_what_is_left_is_the_whole(ratio: float) -> None:
    assert projections(compress(MODEL, ratio=ratio)) == pytest.approx([1, 1, 1], abs=0.01)
    assert norms(compress(MODEL, ratio=ratio, gain="norm")) == pytest.approx([1, 1, 1], abs=0.01)
    assert min(projections(compress(MODEL, ratio=ratio, gain="none"))) < 0.995


def test_without_gains_the_squared_error_is_least() -> None:
    def error(gain: str) -> float:
        found = decompress(compress(MODEL, ratio=15, gain=gain, weighting="none"))
        return sum(float(np.square(found[name] - MODEL[name]).sum()) for name in LAYERS)

    assert error("none") < error("norm") < error("projection")


def test_the_gain_grows_where_a_file_is_cut() -> None:
    file = compress(MODEL, ratio=6, gain="norm")
    assert norms(cut(file, 2000)) == pytest.approx([1, 1, 1], abs=0.01)
    unscaled = compress(MODEL, ratio=6, gain="none")
    assert min(norms(cut(unscaled, 2000))) < 0.9


def test_a_gain_has_bounds() -> None:
    assert gain_for(2.0, 1.0) == 2
    assert gain_for(9.0, 1.0) == MAX_GAIN
    assert gain_for(0.0, 1.0) == gain_for(1.0, 0.0) == gain_for(1.001, 1.0) == 1


@pytest.mark.parametrize("weighting", sorted(set(WEIGHTINGS) - {"none"}))
def test_the_scale_of_a_layer_does_not_matter_but_without_weighting(weighting: str) -> None:
    """As behind a normalization, which makes up for any scale: what is kept of it stays the same."""
    scaled = MODEL | {"last.weight": np.float32(1 / 64) * MODEL["last.weight"]}

    def kept(given: str, model: dict[str, np.ndarray]) -> int:
        return int(np.count_nonzero(decompress(compress(model, ratio=14, weighting=given))["last.weight"]))

    assert kept(weighting, scaled) == pytest.approx(kept(weighting, MODEL), rel=0.1, abs=10)
    assert kept("none", scaled) == 0 < kept("none", MODEL)


def test_lamp_keeps_as_many_weights_of_a_layer_as_its_scores_say() -> None:
    """Against the definition, weight by weight (Lee et al. 2021, equation 5)."""
    weights = {name: MODEL[name] for name in LAYERS}
    squares = {name: np.square(each.astype(np.float64)).ravel() for name, each in weights.items()}
    scores = {name: each / np.array([each[each >= one].sum() for one in each]) for name, each in squares.items()}
    kept = 1000
    threshold = np.sort(np.concatenate(list(scores.values())))[-kept]
    units = WEIGHTINGS["lamp"](weights, kept)
    for name in LAYERS:
        wanted = int((scores[name] >= threshold).sum())
        assert abs(int((np.abs(weights[name]) >= units[name]).sum()) - wanted) <= 1


def test_nearly_zero_weights_are_no_measure_of_a_layer() -> None:
    """With bytes for all weights, LAMP's threshold stays that of a half of them."""
    weights = {name: MODEL[name] for name in LAYERS}
    half = sum(each.size for each in weights.values()) // 2
    units = WEIGHTINGS["lamp"](weights, half)
    relative = np.array(list(units.values())) / max(units.values())
    scales = Scales(codes_of_units(weights, "lamp", 1 << 30), [0] * 3)
    assert [scales.unit(place) for place in range(3)] == pytest.approx(relative.tolist(), rel=0.01)


def test_units_are_relative_to_the_largest() -> None:
    codes = codes_of_units({"a": np.array([[1.0, 2.0]]), "b": np.array([[100.0, 200.0]])}, "rms", 100)
    scales = Scales(codes, [0, 0])
    assert [scales.unit(place) for place in (0, 1)] == pytest.approx([0.01, 1.0], rel=0.005)


@pytest.mark.parametrize("section", [b"", b"\0\0", b"\1\0\0\0\0", b"\4" + bytes(8), b"\2\0\0"])
def test_scales_of_another_length_or_form_are_refused(section: bytes) -> None:
    with pytest.raises(MalformedMessage):
        read_scales(section, 2)
    assert read_scales(write_scales(Scales([1, 2], [3, 4])), 2) == Scales([1, 2], [3, 4])
