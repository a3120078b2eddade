"""Comparisons, tuning and the protocol, on the digits that come with scikit-learn."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from simulations.app.datasets import DataMissing
from simulations.app.row import Row, row_of
from simulations.app.settings import Settings
from simulations.app.training import Score
from simulations.app.workloads.lenet5 import PARAMETERS
from simulations.engines import in_process
from simulations.experiments import compare, messages, peers, protocol, reproduce, tune, variance
from simulations.report import files, fleet, json_rows, markdown, overview, plots, tables
from simulations.report import rows as results
from surp_fl.strategies import NoUsableReply, Traffic
from tests.simulations.runs import SMALL, run_in_process

pytestmark = pytest.mark.slow


def test_the_comparison_writes_rows_a_table_and_a_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = "--budgets 218 --rounds 2 --clients 2 --local-steps 2 --dataset digits --jobs 2 --out"
    assert compare.main([*arguments.split(), str(tmp_path)]) == 0
    rows = json_rows.rows_of((tmp_path / "results.json").read_text())
    assert [(row["scheme"], row["budget"], row["dataset"]) for row in rows] == [
        ("dense", None, "digits"),
        ("surp", 218, "digits"),
    ]
    assert [len(row["accuracy"]) for row in rows] == [3, 3]  # of the initial model, and after each round
    assert len((tmp_path / "results.json").read_text().splitlines()) == 2 + 2  # a line a row
    assert json.loads(json.dumps([row.to_json() for row in results.load(tmp_path)])) == rows
    table = (tmp_path / "table.md").read_text()
    assert "on **digits**" in table
    assert "1,724,324" in table
    assert (tmp_path / "accuracy_vs_bytes.png").stat().st_size > 10_000
    shown = capsys.readouterr().out
    assert table in shown
    assert "round   2/2" in shown


def test_a_comparison_goes_on_where_it_was_interrupted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = f"--rounds 1 --clients 2 --local-steps 1 --dataset digits --jobs 1 --out {tmp_path}".split()
    assert compare.main(["--schemes", "surp:100", *arguments]) == 0
    first = results.load(tmp_path)
    assert compare.main(["--schemes", "surp:100", "rtop-k:300:ratio=2", "--seeds", "0", "1", *arguments]) == 0
    rows = results.load(tmp_path)
    assert rows[0] == first[0]  # its times too: it was not run again
    assert [results.label_of(row) for row in rows] == ["surp 100 B"] * 2 + ["rtop-k 300 B, ratio 2"] * 2
    assert "4 rows, 1 of them in" in capsys.readouterr().out
    (tmp_path / "results.json").write_text("not ours")
    with pytest.raises(SystemExit):
        compare.main(["--schemes", "surp:100", *arguments])


def test_a_row_that_fails_leaves_the_others_and_says_why(tmp_path: Path) -> None:
    small = replace(SMALL, rounds=1, local_steps=1)
    runs = [replace(small, dataset="mnist", data_root=str(tmp_path)), replace(small, scheme="surp:100")]
    with pytest.raises(DataMissing, match="train-images"):
        in_process.complete(runs, tmp_path, jobs=1)
    assert [results.label_of(row) for row in results.load(tmp_path)] == ["surp 100 B"]


def test_a_run_that_diverges_is_a_row_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Settings, "rate_in", lambda self, server_round: 0.015 if server_round < 3 else 1e30)
    whole = replace(SMALL, local_steps=2)
    rows = [run_in_process(settings) for settings in (whole, replace(whole, rounds=5))]
    assert [len(row.accuracy) for row in rows] == [3, 3]  # rounds 0, 1, 2
    assert "round 3: none of the 3 replies" in rows[1].failed
    assert "diverged" in rows[1].failed
    assert [np.isnan(results.final_accuracy(row)) for row in rows] == [False, True]
    results.save(rows, tmp_path)
    assert results.load(tmp_path)[1].failed
    files.write(files.comparison(tmp_path))
    assert (tmp_path / "table.md").read_text().count("diverged") == 1
    assert "| 2 | diverged |" in (tmp_path / "summary.md").read_text()
    monkeypatch.setattr(Settings, "rate_in", lambda self, server_round: 1e30)
    with pytest.raises(NoUsableReply):  # nothing was learnt: no row
        run_in_process(whole)


def test_both_ways_can_be_compressed(tmp_path: Path) -> None:
    arguments = f"--rounds 3 --clients 2 --local-steps 2 --dataset digits --jobs 1 --out {tmp_path}"
    schemes = ["--schemes", "dense", "surp:218", "--downlinks", "none", "surp:1000", "--fraction-evaluate", "1"]
    assert compare.main([*schemes, *arguments.split()]) == 0
    rows = results.load(tmp_path)
    assert [results.label_of(row) for row in rows] == ["dense", "surp 218 B", "surp 218 B, down surp 1,000 B"]
    whole = 4 * PARAMETERS
    packed = (rows[2].payload_bytes_down - rows[2].change_bytes_down) / 2  # of the initial model, without loss
    assert 0.75 * whole < packed < 0.86 * whole
    assert rows[0].payload_bytes_down == 2 * 2 * 3 * whole  # to train and to evaluate
    assert 0.95 * packed < rows[1].payload_bytes_down / (2 * 2 * 3) < 1.05 * packed
    assert 2 * packed < rows[2].payload_bytes_down <= 2 * packed + 10 * 1000
    assert [results.bytes_down(row) for row in rows[:2]] == [row.payload_bytes_down / 6 for row in rows[:2]]
    assert [results.models_down(row) for row in rows] == [6, 6, 1]
    assert 500 < results.bytes_down(rows[2]) <= 1500  # of three rounds' evaluations and two rounds' training, by two
    assert "payload down, first models apart [B]" in (tmp_path / "summary.md").read_text()
    assert "payload down, first models apart [B]" in (tmp_path / "table.md").read_text()
    lines = (tmp_path / "both_ways.md").read_text().splitlines()
    cells = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]] for line in lines[4:]}
    assert list(cells) == ["dense", "surp 218 B", "surp 218 B, down surp 1,000 B"]
    assert cells["dense"][1] == f"{whole + 4:,}"  # a header
    assert cells["dense"][3:6] == ["6.0", "—", "—"]
    assert cells["surp 218 B, down surp 1,000 B"][3:5] == ["1.0", f"{results.bytes_down(rows[2]):,.0f}"]
    assert 500 < float(cells["surp 218 B, down surp 1,000 B"][5].replace(",", "")) < 2500
    of_rounds = [float(line[6].replace(",", "")) for line in cells.values()]
    first = [0, 0, packed]  # where changes go down
    assert of_rounds == pytest.approx(
        [(results.bytes_of_run(row) - apart) / 3 for row, apart in zip(rows, first, strict=True)], abs=0.6
    )
    spent = {name: float(line[-2].split()[0]) for name, line in cells.items()}
    assert spent["dense"] == round(3 * 3 * whole / 1e6, 2)
    assert spent["surp 218 B"] == pytest.approx(results.bytes_of_run(rows[1]) / 1e6, abs=0.01)
    assert spent["surp 218 B, down surp 1,000 B"] == pytest.approx(results.bytes_of_run(rows[2]) / 1e6, abs=0.006)
    ratios = [results.bytes_of_run(rows[0]) / results.bytes_of_run(row) for row in rows]
    assert [float(line[-1][:-1]) for line in cells.values()] == pytest.approx(ratios, rel=0.05)
    without_dense = tables.both_ways(rows[1:]).splitlines()[4:]
    assert [line.split("|")[-2].strip() for line in without_dense] == [line[-1] for line in list(cells.values())[1:]]
    assert results.dense_bytes_of_run(rows[1]) == pytest.approx(
        results.bytes_of_run(rows[0]) - 3 * 4
    )  # but for headers


def test_bytes_of_dense_models_count_the_clients_that_take_part_alone() -> None:
    row = run_in_process(replace(SMALL, clients=4, clients_per_round=2, rounds=2, local_steps=1))
    assert results.dense_bytes_of_run(row) == 2 * 2 * 4 * PARAMETERS * 2 / 4


def test_models_that_newcomers_are_sent_are_counted_apart() -> None:
    row = run_in_process(replace(SMALL, downlink="surp:1000", clients=4, clients_per_round=2, rounds=6, local_steps=1))
    assert row.models_down in (3, 4)  # one for each client that took part at all
    assert results.models_down(row) == row.models_down / 4
    assert 500 < results.bytes_down(row) <= 5 * 1000  # what a client missed comes with what is new
    packed = (row.payload_bytes_down - row.change_bytes_down) / row.models_down
    assert 0.75 * 4 * PARAMETERS < packed < 0.86 * 4 * PARAMETERS
    assert row.payload_bytes_down == pytest.approx(2 * sum(row.payload_bytes_down_by_round))
    assert results.bytes_of_run(row) == (row.payload_bytes_down + row.payload_bytes_up) / 4


def test_a_row_is_of_a_run_whose_settings_are_all_alike() -> None:
    row = run_in_process(replace(SMALL, rounds=1, local_steps=1, scheme="rtop-k:300:ratio=2"))
    read = Row.from_json(json.loads(json.dumps(row.to_json())))
    assert read == row
    assert read.settings.same_run(replace(row.settings, scheme="rtop-k:300:ratio=2.0", data_root="/elsewhere", out="x"))
    for other in ({"scheme": "rtop-k:300:ratio=3"}, {"seed": 1}, {"max_grad_norm": 1.0}, {"fading": True}):
        assert not read.settings.same_run(replace(row.settings, **other))
    older = {name: value for name, value in row.to_json().items() if name not in ("max_grad_norm", "options")}
    assert Row.from_json(older | {"options": {"ratio": 2.0}}) == row  # it was run with the default


def test_results_keep_the_figures_by_round_that_are_shown(tmp_path: Path) -> None:
    row = run_in_process(replace(SMALL, rounds=3, local_steps=1, scheme="top-k:500"))
    assert len(set(row.payload_bytes_up_by_round)) == len(row.loss) - 1 == 3
    trial = replace(row, settings=replace(row.settings, held_out=100))
    results.save([row, trial], tmp_path)
    kept, kept_trial = results.load(tmp_path)
    assert kept.accuracy == kept_trial.accuracy == row.accuracy
    assert kept.payload_bytes_up_by_round == row.payload_bytes_up_by_round
    assert kept_trial.payload_bytes_up_by_round == (row.payload_bytes_up_mean,) * 3
    assert kept.loss == ()  # its workload is judged by accuracy


def test_a_scheme_with_a_ratio_has_no_other_budget(tmp_path: Path) -> None:
    options = compare._parser().parse_args(["--schemes", "surp:ratio=1000", "surp:keep=0.5", "--budgets", "218", "500"])
    runs = list(compare.runs_of(options, Settings()))
    assert [run.scheme for run in runs] == ["surp:ratio=1000", "surp:218:keep=0.5", "surp:500:keep=0.5"]
    row = run_in_process(replace(SMALL, scheme="surp:ratio=1000"))
    assert all(0.95 * 1724 < size <= 1724 for size in row.payload_bytes_up_by_round)
    assert Row.from_json(row.to_json()) == row
    assert results.label_of(row) == "surp, ratio 1000"


def test_cells_of_tables_may_hold_pipes() -> None:
    assert markdown.table(["a|b", "c"], [["|v|", ""]]) == "| a\\|b | c |\n| --- | ---: |\n| \\|v\\| | |\n"
    with pytest.raises(ValueError, match="1 cells under 2 headings"):
        markdown.table(["a", "b"], [["c"]])


@pytest.mark.deployment
@pytest.mark.xdist_group("servers")
def test_flwr_run_and_the_in_process_grid_give_the_same_sizes_and_model() -> None:
    arguments = "--scheme surp:218 --rounds 2 --clients 2 --local-steps 2 --dataset digits"
    command = [sys.executable, "-m", "simulations.experiments.flower", *arguments.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "payload sizes agree, final models agree" in done.stdout


@pytest.mark.deployment
@pytest.mark.xdist_group("servers")
def test_a_flower_run_that_fails_returns_an_error() -> None:
    arguments = "--scheme surp:218 --rounds 1 --clients 2 --local-steps -1 --dataset digits"
    command = [sys.executable, "-m", "simulations.experiments.flower", *arguments.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert "flwr run returned" in done.stderr


def test_tuning_picks_each_schemes_best_point_on_held_out_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        protocol, "GRID", (protocol.GRID[0], {"learning_rate": 1e-9, "final_rate": 0.1, "warm_up": 0.5})
    )
    arguments = f"--rounds 2 --clients 2 --local-steps 8 --held-out 300 --dataset digits --jobs 1 --out {tmp_path}"
    assert tune.main(["--schemes", "dense", *arguments.split()]) == 0
    rows = results.load(tmp_path)
    assert {row.settings.held_out for row in rows} == {300}
    assert [row.settings.warm_up for row in rows] == [0, 1]
    assert json.loads((tmp_path / "chosen.json").read_text()) == {"dense": {"learning_rate": 0.015}}
    assert (tmp_path / "tuning.md").read_text().count("**") == 2 + 2


def test_points_that_chance_may_have_ordered_are_run_with_more_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracy = {0.1: [0.980, 0.970, 0.970], 0.2: [0.979, 0.981, 0.981], 0.3: [0.960, 1.0, 1.0]}  # by rate and seed
    in_long: dict[float, float] = {}
    asked: list[tuple[float, int]] = []

    def ended(run: Settings) -> float:
        short = accuracy[run.learning_rate][run.seed]
        return in_long.get(run.learning_rate, short) if run.rounds == 50 else short

    def completed(runs: list[Settings], folder: Path, jobs: int) -> list[Row]:
        asked.extend((run.learning_rate, run.seed) for run in runs)
        spent = [
            Traffic(
                1, [1], [1], [1], [1], [1], [True], encode_seconds=[0.1], decode_seconds=[0.1],
                relative_error=[0.1], residual_norm=[0.1],
            )
        ]  # fmt: skip
        return [row_of(run, "digits", PARAMETERS, [Score(ended(run), 1.0)] * 6, spent, "") for run in runs]

    monkeypatch.setattr(protocol, "GRID", tuple({"learning_rate": rate} for rate in accuracy))
    monkeypatch.setattr(tune, "complete", completed)
    base = replace(SMALL, dataset="digits")
    best = tune.tuned(["stc:218"], base, [0], tmp_path, 1)
    assert asked == [(0.1, 0), (0.2, 0), (0.3, 0), (0.1, 1), (0.1, 2), (0.2, 1), (0.2, 2)]
    assert best == {"stc:218": {"learning_rate": 0.2}}
    assert "| 97.33% (3 seeds) | **98.03% (3 seeds)** | 96.00% |" in (tmp_path / "tuning.md").read_text()
    asked.clear()
    in_long[0.2] = 0.9
    assert tune.tuned(["stc:218"], base, [0], tmp_path, 1, full_length=50) == {"stc:218": {"learning_rate": 0.1}}
    assert asked[7:] == [(0.2, 0), (0.2, 1), (0.2, 2), (0.1, 0), (0.1, 1), (0.1, 2)]
    shown = "| **97.33% (3 seeds)** | 98.03% (3 seeds), astray in 50 rounds | 96.00% |"
    assert shown in (tmp_path / "tuning.md").read_text()


def test_a_point_of_the_grid_may_have_a_momentum_of_its_own() -> None:
    assert protocol.trial(Settings(scheme="dense"), {"learning_rate": 0.1}).momentum == protocol.LOCAL_MOMENTUM
    assert protocol.trial(Settings(scheme="dense"), {"learning_rate": 0.1, "momentum": 0.5}).momentum == 0.5
    assert protocol.trial(Settings(scheme="dgc:2050"), {"learning_rate": 0.1, "momentum": 0.5}).momentum == 0


def test_dgc_is_not_given_momentum_twice() -> None:
    settings = protocol.trial(Settings(scheme="dgc:2050"), {"learning_rate": 0.015, "final_rate": 1.0})
    assert settings.momentum == 0
    assert settings.learning_rate == 0.015


def test_the_protocol_runs_each_scheme_as_it_was_tuned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = (protocol.GRID[0], {"learning_rate": 0.02, "final_rate": 0.5})
    more = {"learning_rate": 0.02, "server_learning_rate": 1.5}
    monkeypatch.setitem(protocol.GRIDS, "iid", grid)
    monkeypatch.setitem(protocol.GRIDS, "sampled", (*grid, more))
    monkeypatch.setattr(protocol, "HELD_OUT", 300)
    monkeypatch.setattr(protocol, "TUNED", ("surp:100",))
    monkeypatch.setattr(protocol, "SCHEMES", {"surp:60": "surp:100", "surp:100": "surp:100"})
    arguments = (
        f"--rounds 1 --tuning-rounds 1 --clients 4 --local-steps 1 --seeds 0 --dataset digits --jobs 1 --out {tmp_path}"
    )
    assert reproduce.main(["--parts", "iid", "sampled", *arguments.split()]) == 0
    for part, sampled in (("iid", 0), ("sampled", 3)):
        (chosen,) = json.loads((tmp_path / part / "tuning" / "chosen.json").read_text()).values()
        tuning = results.load(tmp_path / part / "tuning")
        assert {(row.settings.held_out, row.settings.clients_per_round) for row in tuning} == {(300, sampled)}
        assert len({row.settings.server_learning_rate for row in tuning}) == (
            2 if sampled else 1
        )  # it has a point more
        rows = results.load(tmp_path / part)
        assert [row.budget for row in rows] == [60, 100]
        for row in rows:
            assert (row.settings.held_out, row.settings.clients_per_round, row.settings.learning_rate) == (
                0,
                sampled,
                chosen["learning_rate"],
            )
        assert (tmp_path / part / "accuracy_vs_bytes.png").exists()
    shown = (tmp_path / "overview.md").read_text().splitlines()
    assert "| scheme | up [B] | down [B] | IID | IID, 3 of 4 a round |" in shown
    assert [line.split(" | ")[0] for line in shown[4:]] == ["| surp 60 B", "| surp 100 B"]
    assert (tmp_path / "overview.png").stat().st_size > 10_000


def test_the_overview_says_what_diverged_and_what_was_not_run(tmp_path: Path) -> None:
    rows = [run_in_process(replace(SMALL, rounds=2, local_steps=2, scheme=name)) for name in ("surp:100", "dense")]
    fails = replace(rows[0], settings=replace(rows[0].settings, clients_per_round=3), failed="round 2")
    parts = {"iid": rows, "sampled": [fails]}
    ends = [results.final_accuracy(row) for row in rows]
    *_, surp, dense = overview.overview(parts).splitlines()
    assert surp.endswith(f"| {100 * ends[0]:.2f} % (one seed) | diverged (1 of 1) |")
    assert dense.endswith(" | — |")
    other = replace(rows[0], settings=replace(rows[0].settings, seed=1), accuracy=(0.1, 0.2, 1.0))
    (line,) = overview.overview({"iid": [rows[0], other]}).splitlines()[4:]
    assert line.endswith(f"| {50 * ends[0] + 50:.2f} % ({100 * ends[0]:.2f} to 100.00) |")
    plots.accuracy_at_budgets(parts, tmp_path / "overview.png")
    assert (tmp_path / "overview.png").stat().st_size > 10_000


def test_bytes_of_the_fleet_are_those_of_all_clients_of_a_round(tmp_path: Path) -> None:
    (row,) = [run_in_process(replace(SMALL, rounds=2, local_steps=2, scheme="surp:100"))]  # of 3 clients, all
    large = replace(row, settings=replace(row.settings, scheme="surp:250"), payload_bytes_up_mean=250.0)
    few = replace(large, settings=replace(large.settings, clients_per_round=1, partition="dirichlet:0.5"))
    down = replace(row, settings=replace(row.settings, downlink="surp:200"))
    parts = {"iid": [replace(row, payload_bytes_up_mean=100.0), large, down], "sampled_dirichlet": [few]}
    lines = [line.split(" | ") for line in fleet.table(parts).splitlines()[2:]]
    assert lines[0][-2:] == ["IID", "Dirichlet 0.5 |"]
    end = f"{100 * results.final_accuracy(row):.2f} % (one seed)"
    assert lines[2:] == [
        ["| 250", "surp 250 B", "1 of 3", "—", f"{end} |"],
        ["| 300", "surp 100 B", "3 of 3", end, "— |"],
        ["| 750", "surp 250 B", "3 of 3", end, "— |"],
    ]
    plots.accuracy_at_fleet_bytes(parts, tmp_path / "fleet.png")
    assert (tmp_path / "fleet.png").stat().st_size > 5_000


def test_peers_run_as_they_were_tuned_on_held_out_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "GRID", protocol.GRID[:2])
    monkeypatch.setattr(protocol, "HELD_OUT", 300)
    arguments = f"--rounds 1 --clients 4 --local-steps 1 --seeds 0 --dataset digits --jobs 1 --out {tmp_path}"
    assert peers.main(["--schemes", "signsgd", *arguments.split()]) == 0
    (chosen,) = json.loads((tmp_path / "tuning" / "chosen.json").read_text()).values()
    assert {row.settings.held_out for row in results.load(tmp_path / "tuning")} == {300}
    (row,) = results.load(tmp_path)
    settings = row.settings
    assert (settings.scheme, settings.held_out, settings.precision) == ("signsgd", 0, "float32")
    assert settings.learning_rate == chosen["learning_rate"]
    assert (tmp_path / "summary.md").exists()


def test_the_protocol_tunes_every_scheme_that_it_runs() -> None:
    for part in protocol.PARTS:
        assert set(protocol.schemes_in(part).values()) == set(protocol.tuned_in(part)) <= set(protocol.schemes_in(part))
    for part in protocol.PARTS:
        base = Settings(rounds=100, precision="bfloat16")
        chosen = {scheme: dict(protocol.GRID[3]) for scheme in protocol.tuned_in(part)}
        runs = list(protocol.runs_of(part, [0, 1], base, chosen))
        down = dict(protocol.BOTH_WAYS | (protocol.WITH_MORE if "sampled" in part else {}))
        known = [(run.scheme, run.downlink) for run in runs if run.known_initial]
        assert known == 2 * list(protocol.KNOWN_INITIAL.get(part, {}).items())
        assert {(run.scheme, run.downlink) for run in runs if run.downlink} == {*down.items(), *known}
        assert len(runs) == 2 * (len(protocol.schemes_in(part)) + len(down)) + len(known)
        assert {run.seed for run in runs} == {0, 1}
        assert all(run.warm_up == 30 and run.precision == "bfloat16" and run.held_out == 0 for run in runs)


def test_variances_are_measured_on_updates_of_a_run() -> None:
    updates = messages.record(replace(SMALL, scheme="dense", clients=6))
    assert [update.server_round for update in updates] == [1, 1, 2, 2]
    smallest, *_, largest = variance.measure("lenet5", updates)
    assert smallest.bytes == 4 * updates[0].layout.size // 8000
    for name in variance.SCHEMES:
        assert len(smallest.variances[name]) == len(updates)
        assert min(smallest.variances[name]) > 10 > 1 > max(largest.variances[name]) > 0
