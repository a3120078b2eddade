"""The committed inputs of the targets in C, replayed by whatever compiler there is, with sanitizers if it has them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conformance.testees import C, compiler
from tests.fuzz import in_c
from tests.fuzz.corpus_files import COMMITTED

pytestmark = [pytest.mark.skipif(compiler() is None, reason="there is no C compiler"), pytest.mark.slow]


def replayed(target: str, folder: Path) -> subprocess.CompletedProcess[str]:
    found = compiler()
    assert found is not None
    inputs = sorted(map(str, (COMMITTED / target).iterdir()))
    return subprocess.run([str(in_c.replayer(target, folder, found)), *inputs], capture_output=True, text=True)


@pytest.mark.parametrize("target", in_c.C_TARGETS)
def test_the_c_reader_and_writer_keep_their_promises_on_every_committed_input(target: str, tmp_path: Path) -> None:
    done = replayed(target, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) >= 20


@pytest.mark.parametrize(
    ("target", "file", "right", "wrong"),
    [
        ("c_decode", "decode.c", "(float)sum;", "(float)(sum / 0.0);"),
        ("c_encode", "encode.c", "j.most = budget - SURP_HEADER_BYTES;", "j.most = budget;"),
    ],
)
def test_a_result_that_is_not_finite_or_a_message_beyond_the_budget_is_noticed(
    target: str, file: str, right: str, wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(C, tmp_path / "c")
    source = (tmp_path / "c" / file).read_text()
    assert source.count(right) == 1
    (tmp_path / "c" / file).write_text(source.replace(right, wrong))
    monkeypatch.setattr(in_c, "C", tmp_path / "c")
    monkeypatch.setattr(in_c, "_FLAGS", tuple(each.replace(str(C), str(tmp_path / "c")) for each in in_c._FLAGS))
    assert replayed(target, tmp_path).returncode != 0
