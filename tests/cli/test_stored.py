"""`surp-fl inspect` and invalid files: one line, exit code 2, no memory allocated for sizes that they declare.

The memory is Python's and numpy's own, as tracemalloc counts it.
"""

from __future__ import annotations

import io
import os
import pickle
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from surp_fl import SuRP
from surp_fl.cli import main
from surp_fl.cli.stored import arrays_in
from tests.cli.test_inspect import ARRAYS, LAYOUT, MODEL, UPDATE, stored

MOST_MEMORY = 4 << 20  # bytes; the models here have 3 kB


def npy(shape: str = "(4,)", descr: str = "'<f4'", numbers: bytes = bytes(16), version: bytes = b"\1\0") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY" + version + len(header).to_bytes(2, "little") + header + numbers


def zipped(*members: tuple[str, bytes], way: int = zipfile.ZIP_STORED) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", way) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return held.getvalue()


def model() -> bytes:
    held = io.BytesIO()
    arrays: dict[str, Any] = ARRAYS
    np.savez(held, **arrays)
    return held.getvalue()


def saved(array: Any) -> bytes:
    held = io.BytesIO()
    np.save(held, array)
    return held.getvalue()


def with_bad_check() -> bytes:
    return model().replace(ARRAYS["weight"].tobytes()[:8], bytes(8), 1)


def bomb() -> bytes:
    """200 MB of zeros in 200 kB, as their header says."""
    count = 50_000_000
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive, archive.open("w.npy", "w") as w:
        w.write(npy(f"({count},)", numbers=b""))
        for _ in range(200):
            w.write(bytes(4 * count // 200))
    return held.getvalue()


def with_sizes_of(content: bytes, member: bytes, size: int) -> bytes:
    """An archive of one stored member, which the directory and the member both say to be larger."""
    return content.replace(len(member).to_bytes(4, "little"), size.to_bytes(4, "little"))


def encrypted() -> bytes:
    content = bytearray(zipped(("w.npy", npy())))
    content[6] |= 1
    content[content.index(b"PK\1\2") + 8] |= 1
    return bytes(content)


def squeezed_and_damaged() -> bytes:
    content = bytearray(zipped(("w.npy", npy(numbers=os.urandom(16))), way=zipfile.ZIP_DEFLATED))
    content[36:40] = b"\xff\xff\xff\xff"
    return bytes(content)


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "an empty file"),
    "npy": (lambda: saved(MODEL), "a .npy, one array without a name"),
    "text": (lambda: b"weights\n", "no .npz"),
    "pickle": (lambda: pickle.dumps(ARRAYS), "no .npz"),
    "cut": (lambda: model()[:-200], "not a zip file"),
    "cut in front": (lambda: model()[300:], "no .npz"),
    "bad check": (with_bad_check, "Bad CRC-32"),
    "damaged deflate": (squeezed_and_damaged, "cannot be read"),
    "complex": (lambda: zipped(("w.npy", saved(np.ones(4, np.complex64)))), "dtype complex64"),
    "words": (lambda: zipped(("w.npy", saved(np.array(["a", "b"])))), "dtype <U1"),
    "objects": (lambda: zipped(("w.npy", saved(np.array([print], object)))), "dtype object"),
    "records": (lambda: zipped(("w.npy", saved(np.zeros(2, "f4,f4")))), "dtype [("),
    "foreign member": (lambda: zipped(("w.npy", npy()), ("notes.txt", b"hello")), "'notes.txt' is no array"),
    "3.6 TiB": (lambda: zipped(("w.npy", npy("(1000000000000,)"))), "claims 4,000,000,000,000 bytes and has 16"),
    "too few numbers": (lambda: zipped(("w.npy", npy("(3,)"))), "claims 12 bytes and has 16"),
    "negative": (lambda: zipped(("w.npy", npy("(-4,)"))), "no negative length"),
    "no shape": (lambda: zipped(("w.npy", npy("'many'"))), "cannot be read"),
    "nested": (lambda: zipped(("w.npy", npy("(" * 5000 + ")" * 5000))), "cannot be read"),
    "header alone": (lambda: zipped(("w.npy", npy()[:20])), "cannot be read"),
    "newest version": (lambda: zipped(("w.npy", npy(version=b"\3\0"))), "version (3, 0)"),
    "member larger than the file": (
        lambda: with_sizes_of(zipped(("w.npy", npy())), npy(), 4_000_000_000), "members of 4,000,000,000 bytes",
    ),
    "bomb": (bomb, "more than 50 times as many"),
    "encrypted": (encrypted, "is encrypted"),
    "bzip2": (lambda: zipped(("w.npy", npy()), way=zipfile.ZIP_BZIP2), "packed as numpy packs none"),
    "the name of an escape": (lambda: zipped(("\x1b[2J\n", npy())), r"'\x1b[2J\n' is no array"),
}  # fmt: skip


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr, in little memory."""
    tracemalloc.start()
    try:
        code = main(["inspect", *arguments])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    found = capsys.readouterr()
    assert code == 2
    assert peak < MOST_MEMORY
    assert found.out == ""
    assert len(found.err.splitlines()) == 1
    assert found.err.rstrip("\n").isprintable()
    return found.err


@pytest.fixture
def where(tmp_path: Path) -> list[str]:
    """Arguments with which a message is explained."""
    reference = (MODEL, MODEL + np.float32(1))
    return stored(tmp_path, SuRP(60).codec.encode(UPDATE, LAYOUT, rng=np.random.default_rng(0), reference=reference))


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_model_is_refused_on_one_line_that_says_what_it_is_and_how_to_store_one(
    kind: str, where: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, says = BAD[kind]
    bad = tmp_path / "bad.npz"
    bad.write_bytes(made())
    for arguments in ([where[0], "--model", str(bad)], [*where, "--before", str(bad)]):
        said = refused(arguments, capsys)
        assert f"surp-fl: {bad}: " in said
        assert says in said
        assert "numpy.savez" in said


def test_what_is_no_file_is_refused_and_not_waited_for(
    where: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, says in ((".", "a directory"), ("pipe", "a pipe or a device"), ("message/inside", "Not a directory")):
        file = str(tmp_path / name)
        for arguments in ([file], [where[0], "--model", file], [*where, "--before", file]):
            assert says in refused(arguments, capsys)
    assert "No such file" in refused([where[0], "--model", str(tmp_path / "nothing")], capsys)


def test_a_message_longer_than_any_of_its_model_is_not_read(
    where: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    huge = tmp_path / "huge"
    huge.write_bytes(Path(where[0]).read_bytes())
    for size, arguments in ((1 << 40, []), (1 << 40, where[1:]), (2_000_000, where[1:])):
        os.truncate(huge, size)
        assert f"a file of {size:,} bytes; a message has at most" in refused([str(huge), *arguments], capsys)


def test_a_model_before_of_other_arrays_is_refused(
    where: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.npz"
    other.write_bytes(zipped(("w.npy", npy())))
    said = refused([*where, "--before", str(other)], capsys)
    assert "missing ['weight'" in said
    assert str(other) in said


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_read_as_numpy_reads_them(save: Callable[..., None], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays: dict[str, NDArray[Any]] = {
        "rows": rng.normal(size=(300, 1000)).astype(np.float32),  # of more than one chunk
        "columns": np.asfortranarray(rng.normal(size=(7, 5))),
        "big-endian": rng.normal(size=6).astype(">f4"),
        "half": rng.normal(size=6).astype(np.float16),
        "count": np.array(7, np.int64),
        "mask": np.array([[True], [False]]),
        "none": np.zeros((0, 3), np.float32),
    }
    save(tmp_path / "model.npz", **arrays)
    found = arrays_in(tmp_path / "model.npz")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype.newbyteorder("=")
        assert found[name].shape == array.shape
