"""`surp-fl plan`: what it prints, for people and for programs; its picture; its errors."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from surp_fl.cli import main
from surp_fl.planning import Federation, as_text, plan

ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").exists())
PAGE = ROOT / "docs" / "planning.md"
LENET = ["plan", "--parameters", "431080"]


def test_the_page_shows_what_its_commands_print(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    shown = re.findall(
        r"^```sh\n(surp-fl plan .*?)```\n\n```text\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE
    )
    assert shown
    for command, printed in shown:
        assert main(shlex.split(command.replace("\\\n", " "))[1:]) == 0
        assert capsys.readouterr().out == printed
    assert (tmp_path / "planning.png").read_bytes().startswith(b"\x89PNG")


def test_programs_get_every_option_and_the_sensible_one(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = [
        "--budgets",
        "2000",
        "218",
        "--downlink",
        "none",
        "2000",
        "--evaluate",
        "--rounds",
        "20",
        "--clients",
        "2",
    ]
    assert main([*LENET, *wanted, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(each["budget"], each["downlink"]) for each in told["options"]] == [
        (218, None), (2000, None), (218, 2000), (2000, 2000),
    ]  # fmt: skip
    assert told["sensible"] in told["options"]
    assert told["federation"]["evaluate"] is True
    assert (told["dense"]["budget"], told["dense"]["fewer"]) == (None, 1.0)
    assert "at most 10% more" in told["rule"]
    assert any(re.match(r"2,000 B up in place of 218 B: 6\.\d% more bytes on the wire", fact) for fact in told["facts"])


def test_a_stored_model_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "model.npz", w=np.zeros((300, 20), np.float16), b=np.ones(20, np.float32), count=np.array(3))
    assert main(["plan", "--model", str(tmp_path / "model.npz"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["federation"]
    assert (told["parameters"], told["model_bytes"], told["arrays"]) == (6_020, 2 * 6_000 + 4 * 20 + 8, 3)


def test_bytes_of_a_parameter_are_those_of_whole_models_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*LENET, "--dtype-bytes", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["dense"]["payload_up"], told["options"][0]["budget"]) == (862_160, 215)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--parameters", "0"], 2, "parameters = 0; expected a whole number from 1"),
        (["--parameters", "9", "--budgets", "3"], 2, "budget = 3 bytes; the smallest useful message has 16"),
        (["--parameters", "9", "--downlink", "3"], 2, "downlink = 3 bytes"),
        (["--parameters", "9", "--dtype-bytes", "0"], 2, "dtype_bytes = 0; expected bytes of a number"),
        (["--parameters", "9", "--plot", "plan.pdf"], 2, "'plan.pdf'; expected a name with .png"),
        (["--parameters", "9", "--plot", "none/plan.png"], 2, "none/plan.png: "),
        (["--model", "none.npz"], 2, "No such file"),
        (["--model", "bad.npz"], 2, "numpy.savez"),
        (["--model", "integers.npz"], 2, "integers.npz: 1 arrays, none of floats"),
        (["--model", "integers.npz", "--arrays", "3"], 2, "leave out --arrays"),
    ],
)
def test_an_error_is_one_line(
    arguments: list[str], code: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("bad.npz").write_bytes(b"no zip")
    np.savez("integers.npz", count=np.array(3))
    assert main(["plan", *arguments]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert says in said.err
    assert len(said.err.splitlines()) == 1


@pytest.mark.parametrize("arguments", [[], ["--parameters", "many"], ["--parameters", "9", "--downlink", "all"]])
def test_what_is_no_number_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["plan", *arguments])
    assert ended.value.code == 2
    assert "usage: surp-fl plan" in capsys.readouterr().err


def test_without_matplotlib_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in ("matplotlib.backends.backend_agg", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, module, None)
    assert main([*LENET, "--plot", str(tmp_path / "plan.png")]) == 2
    assert "pip install matplotlib" in capsys.readouterr().err
    assert main(LENET) == 0


def test_the_text_says_what_stands_out() -> None:
    federation = Federation(parameters=431_080, clients=10, clients_per_round=3, evaluate=True)
    text = as_text(plan(federation, [218, 2_000]))
    assert "10 clients (3 a round), which evaluate too" in text
    assert "what goes down is 98.7% of a round's bytes" in text
    assert "evaluation is a second exchange" in text
    assert "sit a round out poll all the same" in text
    other = as_text(plan(Federation(parameters=431_080), [218], [2_000]))
    for absent in ("what goes down is", "second exchange", "sit a round out", "in place of"):
        assert absent not in other
