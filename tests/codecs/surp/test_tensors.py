"""Updates that are torch's tensors, on any device: they give what arrays give."""

from __future__ import annotations

import numpy as np
import pytest

from surp_fl import STC, Layout, SuRP
from surp_fl.topk import largest
from tests.codecs.surp.test_messages import RNG, update
from tests.vectors import AWKWARD

torch = pytest.importorskip("torch", reason="tensors need PyTorch")

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"))]


@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.parametrize("count", [1, 7, 200, 3000])
def test_gathering_finds_the_same_in_a_tensor(name: str, count: int) -> None:
    found, values = largest(AWKWARD[name], count)
    on_device, values_on_device = largest(torch.from_numpy(AWKWARD[name]), count)
    np.testing.assert_array_equal(on_device, found)
    np.testing.assert_array_equal(values_on_device, values)


@pytest.mark.compiled
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("budget", [50, 218, 2000, 20_000])
def test_a_tensor_gives_the_bytes_that_the_array_gives(device: str, budget: int) -> None:
    layout, vector, model, before = update()
    codec = SuRP(budget=budget).codec
    for reference in (None, model, (model, before)):
        from_tensor = codec.encode(torch.from_numpy(vector).to(device), layout, rng=RNG, reference=reference)
        assert from_tensor == codec.encode(vector, layout, rng=RNG, reference=reference)


def test_a_diverged_tensor_is_refused() -> None:
    layout = Layout.of({"a": np.zeros(100, np.float32)})
    for broken in (np.nan, np.inf):
        tensor = torch.ones(100)
        tensor[3] = broken
        with pytest.raises(ValueError, match="diverged"):
            SuRP(budget=218).codec.encode(tensor, layout, rng=RNG)


def test_other_schemes_take_a_tensor_to_the_host() -> None:
    layout, vector, _, _ = update()
    codec = STC(budget=218).codec
    assert codec.encode(torch.from_numpy(vector), layout, rng=RNG) == codec.encode(vector, layout, rng=RNG)
