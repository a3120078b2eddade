"""`surp-fl compress`, `decompress`, and `inspect` of a model file, through files."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from surp_fl.cli import main
from surp_fl.cli.stored import arrays_in
from surp_fl.model_file import decompress, is_model_file
from tests.model_file.models import trained

MODEL = trained()
NBYTES = sum(array.nbytes for array in MODEL.values())
COUNT_DOWN = """
from pathlib import Path
count = Path("count")
count.write_text(str(int(count.read_text()) - 1 if count.exists() else 9))
print(count.read_text())
"""
EVALUATE = """
import sys
import numpy as np
found = np.load(sys.argv[1])
error = sum(float(np.square(found[n] - a).sum()) for n, a in np.load(sys.argv[2]).items() if a.dtype.kind == "f")
print("evaluated on 3 batches")
print("seen so far", file=sys.stderr)
print(f"accuracy: {100 - error:.3f}%, and that is all")
"""


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with model.npz, and evaluate.py, which prints 100 minus the squared error."""
    monkeypatch.chdir(tmp_path)
    arrays: dict[str, Any] = MODEL
    np.savez("model.npz", **arrays)
    Path("evaluate.py").write_text(EVALUATE)
    return tmp_path


def run(*arguments: str) -> int:
    return main(list(arguments))


@pytest.mark.usefixtures("where")
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_model_goes_through_a_file_of_the_size_that_was_asked_for(
    suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
        assert run("compress", "model.npz", "--ratio", "1.5", "-o", "whole.surp") == 0
        assert run("decompress", "whole.surp", "-o", "model.safetensors") == 0
    capsys.readouterr()
    assert run("compress", f"model{suffix}", "--bytes", "4000") == 0
    assert re.fullmatch(
        r"model.surp: (3,9\d\d|4,000) bytes, 7.\d times fewer than the model\n", capsys.readouterr().out
    )
    assert 3900 < Path("model.surp").stat().st_size <= 4000
    assert run("decompress", "model.surp", "-o", f"back{suffix}") == 0
    assert capsys.readouterr().out == f"back{suffix}: 10 arrays, {NBYTES:,} bytes\n"
    if suffix == ".npz":
        found, wanted = arrays_in(Path("back.npz")), decompress(Path("model.surp").read_bytes())
        assert list(found) == list(MODEL)
        assert all(np.array_equal(found[name], wanted[name]) for name in MODEL)


@pytest.mark.usefixtures("where")
def test_a_ratio_and_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run("compress", "model.npz", "--ratio", "10", "-o", "m", "--json", "--exact", "last.bias", "--gain", "norm")
        == 0
    )
    told = json.loads(capsys.readouterr().out)
    assert told == {"out": "m", "bytes": Path("m").stat().st_size, "model_bytes": NBYTES, "ratio": told["ratio"]}
    assert 10 <= told["ratio"] < 10.4
    assert run("decompress", "m", "-o", "back.npz", "--json") == 0
    assert json.loads(capsys.readouterr().out)["cut"] is False
    np.testing.assert_array_equal(arrays_in(Path("back.npz"))["last.bias"], MODEL["last.bias"])


@pytest.mark.usefixtures("where")
def test_a_compressed_file_is_cut_without_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compress", "model.npz", "--bytes", "5000", "--progressive") == 0
    Path("model.npz").unlink()
    assert run("compress", "model.surp", "--bytes", "2000", "-o", "cut.surp") == 0
    assert run("compress", "model.surp", "--ratio", "20", "-o", "smaller.surp") == 0
    assert 1990 < Path("cut.surp").stat().st_size <= 2000
    assert NBYTES / 20 - 10 < Path("smaller.surp").stat().st_size <= NBYTES / 20
    Path("raw.surp").write_bytes(Path("model.surp").read_bytes()[:2000])
    capsys.readouterr()
    left = r"surp-fl: \w+.surp: cut, 1,\d+ of 4,\d+ bytes of its message are left"
    for name, says in (("cut.surp", rf"{left}\n"), ("raw.surp", rf"{left}; the last \d+ bytes are left out\n")):
        assert run("decompress", name, "-o", "back.npz") == 0
        assert re.fullmatch(says, capsys.readouterr().err)
        assert list(arrays_in(Path("back.npz"))) == list(MODEL)
        assert run("decompress", name, "-o", "back.npz", "--whole") == 1
        assert "it was cut: 1," in capsys.readouterr().err


@pytest.mark.usefixtures("where")
def test_the_smallest_file_that_is_accurate_enough_is_found(capfd: pytest.CaptureFixture[str]) -> None:
    command = f"{sys.executable} evaluate.py {{model}} model.npz"
    drop = ["--accuracy-drop", "1.5", "--evaluate", command]
    assert run("compress", "model.npz", *drop, "--evaluations", "8", "--json", "--gain", "none") == 0
    said = capfd.readouterr()
    told = json.loads(said.out)
    assert told["accuracy"] >= 98.5
    found = decompress(Path("model.surp").read_bytes())
    error = sum(float(np.square(found[name] - array).sum()) for name, array in MODEL.items())
    assert told["accuracy"] == pytest.approx(100 - error, abs=0.01)
    assert "surp-fl: the model itself: 100; enough is 98.5" in said.err
    assert "seen so far" in said.err
    trials = re.findall(r"surp-fl: ([\d,]+) bytes: ([\d.]+), (enough|too little)", said.err)
    assert 3 <= len(trials) <= 8
    enough = [int(size.replace(",", "")) for size, _, verdict in trials if verdict == "enough"]
    assert told["bytes"] == min(enough)
    assert all((float(accuracy) >= 98.5) == (verdict == "enough") for _, accuracy, verdict in trials)


@pytest.mark.usefixtures("where")
@pytest.mark.parametrize(
    ("evaluate", "says"),
    [
        ("{python} evaluate.py model.npz", "does not say where the model's file goes: write {model} there"),
        ("{python} 'evaluate.py {model}", "No closing quotation"),
        ("no-such-command {model}", "No such file"),
        ("{python} -c 'print(1); raise SystemExit(3)' {model}", "exit code 3, which ends with '1\\n'"),
        ("{python} -c 'print(\"fine\")' {model}", "no number on its standard output, which ends with 'fine\\n'"),
        ("{python} -c 'pass' {model}", "no number on its standard output; expected the accuracy"),
        ("{python} -c 'print(0.5, \"nan\")' {model}", "says nan of the model itself"),
    ],
)
def test_a_command_that_does_not_evaluate_is_shown(
    evaluate: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = evaluate.replace("{python}", sys.executable)
    assert run("compress", "model.npz", "--accuracy-drop", "1", "--evaluate", command) == 2
    said = capsys.readouterr()
    assert says in said.err
    assert len(said.err.splitlines()) == 1
    assert not Path("model.surp").exists()


@pytest.mark.usefixtures("where")
def test_where_no_file_is_accurate_enough_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    Path("count_down.py").write_text(COUNT_DOWN)
    command = f"{sys.executable} count_down.py {{model}}"
    assert run("compress", "model.npz", "--accuracy-drop", "-1", "--evaluate", command) == 2
    assert "expected a loss from 0 on" in capsys.readouterr().err
    assert run("compress", "model.npz", "--accuracy-drop", "0.5", "--evaluate", command) == 2
    assert "half of the model's bytes lose more than 0.5: allow a larger loss" in capsys.readouterr().err


@pytest.mark.usefixtures("where")
@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["compress", "model.npz", "--bytes", "10"], 2, "budget = 10 bytes; names, shapes, small arrays"),
        (["compress", "model.npz", "--ratio", "0.5"], 2, "give 1 or more"),
        (["compress", "nothing.npz", "--ratio", "5"], 2, "No such file"),
        (["compress", "nothing.safetensors", "--ratio", "5"], 2, "No such file"),
        (["compress", "model.bin", "--ratio", "5"], 2, "expected one of .safetensors, .npz: rename it"),
        (["compress", "bad.npz", "--ratio", "5"], 2, "numpy.savez"),
        (["compress", "model.npz", "--ratio", "5", "--exact", "x"], 2, "exact names 'x'"),
        (["compress", "model.npz", "--ratio", "5", "-o", "none/out.surp"], 2, "none/out.surp: "),
        (["compress", "model.npz", "--accuracy-drop", "1"], 2, "--accuracy-drop and --evaluate are given together"),
        (["compress", "model.npz", "--bytes", "9", "--evaluate", "x {model}"], 2, "are given together"),
        (["compress", "good.surp", "--bytes", "3000"], 2, "into the file that -o names"),
        (["compress", "good.surp", "--bytes", "99", "-o", "x"], 2, "cannot be cut"),
        (["compress", "bad.surp", "--bytes", "3000", "-o", "x"], 1, "is damaged"),
        (["decompress", "bad.surp", "-o", "x.npz"], 1, "is damaged"),
        (["decompress", "model.npz", "-o", "x.npz"], 1, "no model file"),
        (["decompress", "nothing", "-o", "x.npz"], 1, "No such file"),
        (["decompress", "good.surp", "-o", "x.pt"], 2, "a name with .pt; expected one of"),
        (["decompress", "good.surp", "-o", "none/x.npz"], 2, "none/x.npz: "),
        (["decompress", "good.surp", "-o", "x.npz", "--max-bytes", "1000"], 1, "give a larger max_bytes (--max-bytes)"),
        (["inspect", "bad.surp"], 1, "is damaged"),
        (["inspect", "good.surp", "--max-bytes", "1000"], 1, "give a larger max_bytes (--max-bytes)"),
    ],
)
def test_an_error_is_one_line(arguments: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.npz").write_bytes(b"no zip")
    Path("model.bin").write_bytes(b"\0")
    assert run("compress", "model.npz", "--bytes", "4000", "-o", "good.surp") == 0
    file = bytearray(Path("good.surp").read_bytes())
    file[-1000] ^= 1
    Path("bad.surp").write_bytes(file)
    capsys.readouterr()
    assert run(*arguments) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert says in said.err
    assert len(said.err.splitlines()) == 1


@pytest.mark.usefixtures("where")
def test_without_safetensors_the_error_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    Path("model.safetensors").write_bytes(b"x")
    assert run("compress", "model.npz", "--bytes", "4000") == 0
    for arguments in (
        ["compress", "model.safetensors", "--ratio", "5"],
        ["decompress", "model.surp", "-o", "x.safetensors"],
    ):
        assert run(*arguments) == 2
        assert "pip install 'surp-fl[models]'" in capsys.readouterr().err


@pytest.mark.usefixtures("where")
def test_a_model_file_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compress", "model.npz", "--bytes", "4000") == 0
    file = Path("model.surp").read_bytes()
    assert is_model_file(file)
    capsys.readouterr()
    assert run("inspect", "model.surp", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    found = decompress(file)
    weights = [name for name in MODEL if name.endswith("weight") and MODEL[name].ndim > 1]
    assert (told["bytes"], told["arrays of the model"], told["bytes of the arrays"]) == (len(file), 10, NBYTES)
    assert sum(told["sections"].values()) == len(file)
    assert sum(told["bits"].values()) <= 8 * told["sections"]["message"]
    assert told["weights kept"] == sum(np.count_nonzero(found[name]) for name in weights)
    assert told["weights kept"] == sum(each.get("kept", 0) for each in told["arrays"])
    assert [each["name"] for each in told["arrays"] if each["coded as"] == "weights"] == weights
    assert [each["coded as"] for each in told["arrays"] if "running" in each["name"]] == ["mean", "variance"]
    for each in told["arrays"]:
        if "kept" in each:
            rows = np.abs(found[each["name"]]).reshape(each["gains"], -1)
            of_rows = [np.unique(row[row > 0]).size for row in rows]
            assert max(of_rows) <= each["magnitudes"] <= sum(of_rows)
            assert each["gain"] > 0.9
    assert run("inspect", "model.surp") == 0
    out = capsys.readouterr().out
    assert "message                   whole" in out
    assert re.search(
        r"hidden.weight +\[50, 128\] +F32 +weights +[\d,]+ +\d+\.\d% +\d+ +1\.\d\d, median of 50 rows", out
    )
    Path("cut.surp").write_bytes(file[:2000])
    assert run("inspect", "cut.surp") == 0
    assert re.search(r"message +cut: [\d,]+ of 3,\d+ bytes are left", capsys.readouterr().out)
