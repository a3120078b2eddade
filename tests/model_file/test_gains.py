"""Gains scale a coarse array back; units weight the errors of arrays."""

from __future__ import annotations

import numpy as np
import pytest

from surp_fl.errors import MalformedMessage
from surp_fl.layout import Layout
from surp_fl.model_file import compress, cut, decompress
from surp_fl.model_file.decoding import opened
from surp_fl.model_file.encoding import Compressor, Options
from surp_fl.model_file.gains import GAINS, MAX_GAIN, gains_for, norms_of
from surp_fl.model_file.scales import Scales, read_scales, rows_of, scales_of, write_scales
from surp_fl.model_file.weighting import WEIGHTINGS, codes_of_units
from surp_fl.types import Arrays
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


@pytest.mark.parametrize("ratio", [11, 14, 18])
def test_what_is_left_has_the_projection_or_the_norm_of_the_whole_or_one_between(ratio: float) -> None:
    assert projections(compress(MODEL, ratio=ratio, gain="projection")) == pytest.approx([1, 1, 1], abs=0.01)
    assert norms(compress(MODEL, ratio=ratio, gain="norm")) == pytest.approx([1, 1, 1], abs=0.01)
    assert min(projections(compress(MODEL, ratio=ratio, gain="none"))) < 0.995
    found = {gain: sum(projections(compress(MODEL, ratio=ratio, gain=gain))) for gain in GAINS}
    assert found["projection"] > found["between"] > found["norm"]
    assert compress(MODEL, ratio=ratio) == compress(MODEL, ratio=ratio, gain="between")


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
    found = gains_for(np.array([2.0, 9.0, 0.0, 1.0, 1.001]), np.array([1.0, 1.0, 1.0, 0.0, 1.0]))
    assert found.tolist() == [2, MAX_GAIN, 1, 1, 1]


def test_rows_have_gains_of_their_own_where_these_are_few_of_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The projection of each row of the hidden layer is the whole; in a file of few bytes that of all."""

    def spread(file: bytes) -> float:
        found, wanted = decompress(file)["hidden.weight"], MODEL["hidden.weight"]
        ratios = (found * wanted).sum(axis=1) / np.square(wanted).sum(axis=1)
        return float(np.std(ratios[found.any(axis=1)]))

    few, more, without = (
        compress(MODEL, budget=budget, gain=gain)
        for budget, gain in ((800, "projection"), (2000, "projection"), (2000, "none"))
    )
    monkeypatch.setattr("surp_fl.model_file.encoding._SHARE_OF_ROWS", 10_000)
    assert few == compress(MODEL, budget=800, gain="projection")
    assert without == compress(MODEL, budget=2000, gain="none")
    assert spread(more) < 0.4 * spread(compress(MODEL, budget=2000, gain="projection"))


def test_norms_of_rows_come_back_within_half_an_eighth_of_an_octave() -> None:
    layout = Layout.of({"wide": np.zeros((40, 128)), "narrow": np.zeros((40, 127)), "small": np.zeros(500)})
    assert rows_of(layout) == [40, 1, 1]
    rng = np.random.default_rng(0)
    norms = [rng.lognormal(0, 0.4, 40), np.array([3.0]), np.array([0.0])]
    norms[0][3] = 0
    section = write_scales(scales_of([5, 6, 7], norms))
    assert len(section) < 13 + 40
    found = read_scales(section, layout)
    assert [found.rows(place) for place in range(3)] == [40, 1, 1]
    for place in range(3):
        known = norms[place] > 0
        off = np.log2(found.row_norms(place)[known] / norms[place][known])
        assert (np.abs(off) < 1 / 16 + 0.01).all()


def test_sums_of_rows_do_not_depend_on_how_they_are_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded by pieces; the order of the terms stays that of the coordinates."""
    vector = np.random.default_rng(0).normal(size=12_000).astype(np.float32)
    layout = Layout.of({"a": np.zeros((30, 300)), "b": np.zeros(3000)})
    whole = norms_of(vector, layout, [30, 1])
    monkeypatch.setattr("surp_fl.model_file.gains._PIECE", 77)
    for one, other in zip(whole, norms_of(vector, layout, [30, 1]), strict=True):
        assert one.tolist() == other.tolist()
    exact = np.linalg.norm(vector[:9000].reshape(30, 300).astype(np.float64), axis=1)
    assert whole[0] == pytest.approx(exact, rel=1e-12)


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
    layout = Layout.of({"a": np.zeros((2, 3)), "b": np.zeros((2, 3))})
    with pytest.raises(MalformedMessage):
        read_scales(section, layout)
    assert read_scales(write_scales(Scales([1, 2], [3, 4])), layout) == Scales([1, 2], [3, 4])


def test_a_file_fits_its_budget_also_where_norms_of_rows_are_uneven_or_other_sections_long() -> None:
    rng = np.random.default_rng(0)
    uneven = (rng.lognormal(0, 3, (80, 1)) * rng.normal(size=(80, 128))).astype(np.float32)
    model: Arrays = {"weight": uneven, "indices": rng.integers(0, 1 << 40, 3000)}
    least = Compressor(model, Options()).least_budget
    for budget in (least, least + 1, least + 40, least + 700, least + 2000, least + 5000):
        file = compress(model, budget=budget)
        assert len(file) <= budget
        assert np.array_equal(decompress(file)["indices"], model["indices"])
    assert opened(file).scales.rows(0) == 80
    assert opened(compress(model, budget=least)).scales.rows(0) == 1


def test_a_cut_file_scales_rows_to_the_norms_that_it_tells() -> None:
    file = compress(MODEL, budget=3000, gain="norm")
    assert opened(file).scales.rows(1) == 50
    for left in (cut(file, 2000), file):
        found = decompress(left)["hidden.weight"]
        ratios = np.linalg.norm(found, axis=1) / np.linalg.norm(MODEL["hidden.weight"], axis=1)
        assert (np.abs(ratios[found.any(axis=1)] - 1) < 0.06).all()


def test_norms_of_rows_that_no_writer_makes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout.of({"wide": np.zeros((9, 200))})
    fits = write_scales(Scales([5], [6], [np.arange(-4, 5)]))
    assert read_scales(fits, layout).shares[0].tolist() == list(range(-4, 5))
    for share, match in ((1025, "are not valid"), (-1025, "are not valid")):
        with pytest.raises(MalformedMessage, match=match):
            read_scales(write_scales(Scales([5], [6], [np.full(9, share)])), layout)
    for section in (fits[:-2], fits[:5], fits + b"\1", write_scales(Scales([5], [6], [np.arange(12)]))):
        with pytest.raises(MalformedMessage):
            read_scales(section, layout)
    narrow = Layout.of({"narrow": np.zeros((9, 20))})
    for section, wrong in ((b"\4\0", narrow), (b"\6\0\0\0", narrow), (b"\4\0", layout), (b"\5\1\1\0", layout)):
        with pytest.raises(MalformedMessage, match="shares of norms that no array has"):
            read_scales(section, wrong)
    monkeypatch.setattr("surp_fl.model_file.scales.MAX_ROWS", 8)
    assert rows_of(layout) == [1]
    with pytest.raises(MalformedMessage, match="shares of norms"):
        read_scales(fits, layout)
