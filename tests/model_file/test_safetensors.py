"""Files of the safetensors format, through its package."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from surp_fl.model_file import Model, compress, decompress_model
from surp_fl.model_file.safetensors_files import BadSafetensorsError, read_safetensors, write_safetensors
from tests.model_file.models import trained, with_every_dtype

safetensors_numpy = pytest.importorskip("safetensors.numpy")


def test_a_model_comes_back_from_its_file(tmp_path: Path) -> None:
    model = with_every_dtype()
    del model.arrays["complex"]  # which old versions of the package cannot write
    write_safetensors(model, tmp_path / "model.safetensors")
    found = read_safetensors(tmp_path / "model.safetensors")
    assert found.arrays.keys() == model.arrays.keys()
    assert (found.dtypes, found.metadata) == (model.dtypes, model.metadata)
    for name, array in model.arrays.items():
        assert (found.arrays[name].shape, found.arrays[name].dtype) == (array.shape, array.dtype)
        np.testing.assert_array_equal(found.arrays[name], array)


def test_arrays_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    header = (
        b'{"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}'
    )
    file.write_bytes(len(header).to_bytes(8, "little") + header + np.array([1, 2], "<f4").tobytes())
    assert {name: array.tolist() for name, array in read_safetensors(file).arrays.items()} == {"b": [1.0], "a": [2.0]}
    assert list(read_safetensors(file).arrays) == ["b", "a"]


def test_the_package_reads_what_was_compressed(tmp_path: Path) -> None:
    write_safetensors(decompress_model(compress(trained(), ratio=8)), tmp_path / "model.safetensors")
    found = safetensors_numpy.load_file(tmp_path / "model.safetensors")
    for name, array in trained().items():
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no safetensors file"),
        (b"\xff" * 100, "no safetensors file"),
        (b"PK\3\4" + bytes(100), "no safetensors file"),
    ],
)
def test_what_is_no_such_file_is_refused(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "bad.safetensors").write_bytes(content)
    with pytest.raises(BadSafetensorsError, match=says):
        read_safetensors(tmp_path / "bad.safetensors")


def test_a_dtype_that_is_not_known_is_refused_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_safetensors(Model(trained()), tmp_path / "model.safetensors")
    monkeypatch.delitem(sys.modules["surp_fl.model_file.safetensors_files"].CODES, "I64")
    with pytest.raises(BadSafetensorsError, match=r"'norm.num_batches_tracked' has dtype I64; expected one of F32"):
        read_safetensors(tmp_path / "model.safetensors")


def test_what_the_package_cannot_write_is_said_in_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = sys.modules["surp_fl.model_file.safetensors_files"]._PYTHON_NAMES
    monkeypatch.setitem(names, "BF16", "float9")
    with pytest.raises(BadSafetensorsError, match=r"the package safetensors \d.* cannot write it: .*float9"):
        write_safetensors(Model({"w": np.zeros((2, 2), np.float32)}, {"w": "BF16"}), tmp_path / "model.safetensors")


def test_without_the_package_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r"pip install 'surp-fl\[models\]'"):
        read_safetensors(tmp_path / "model.safetensors")
    with pytest.raises(ImportError, match=r"pip install 'surp-fl\[models\]'"):
        write_safetensors(Model({}), tmp_path / "model.safetensors")
