"""The simulation app on the digits that come with scikit-learn: no network, no MNIST."""

from __future__ import annotations

import tomllib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Context, Message
from torch.nn.utils import parameters_to_vector

from simulations.app import client_app, images, server_app, training
from simulations.app.datasets import DataMissing, data_root, held_out_of, partition
from simulations.app.schemes import fading, last_scheme_of, parse, scheme_of, scheme_of_round
from simulations.app.settings import Settings
from simulations.app.training import Score
from simulations.app.workloads import WORKLOADS
from simulations.app.workloads.lenet5 import PARAMETERS, LeNet5Caffe
from simulations.app.workloads.workload import Hyperparameters
from simulations.engines import in_process
from simulations.experiments.command_line import add_settings, parser_of, settings_of
from surp_fl import DGC, STC, CompressUpdates, ErrorFeedback, MomentumCorrection, RTopK, SuRP
from surp_fl.strategies import Traffic
from surp_fl.testing import InProcessGrid
from tests.simulations.runs import SMALL, run_in_process

pytestmark = pytest.mark.slow


def test_lenet_has_the_parameters_of_the_paper() -> None:
    assert sum(parameter.numel() for parameter in LeNet5Caffe().parameters()) == PARAMETERS == 431_080


def test_a_seed_gives_the_same_weights_whatever_happened_before() -> None:
    lenet = WORKLOADS["lenet5"]
    first = training.initial_arrays(lenet, 3, Path())
    np.random.default_rng().random()
    second = training.initial_arrays(lenet, 3, Path())
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not np.array_equal(first["fc1.weight"], training.initial_arrays(lenet, 4, Path())["fc1.weight"])


@pytest.mark.parametrize("how", ["iid", "dirichlet:0.5", "label-skew:0.5"])
def test_a_partition_gives_each_image_to_one_client(how: str) -> None:
    labels = np.random.default_rng(0).integers(0, 10, 2000)
    parts = partition(labels, 10, how, seed=0)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(2000))
    assert min(map(len, parts)) > 0
    again = partition(labels, 10, how, seed=0)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))


def test_clients_of_skewed_labels_hold_as_many_images_and_few_labels() -> None:
    labels = np.repeat(np.arange(10), 600)
    parts = partition(labels, 100, "label-skew:0.1", seed=0)
    assert {len(part) for part in parts} == {60}
    largest = [np.bincount(labels[part], minlength=10).max() / 60 for part in parts]
    assert 0.5 < np.mean(largest) < 0.85  # 0.1 in an iid part, 1 for one label a client
    even = partition(labels, 100, "label-skew:1000", seed=0)
    assert np.mean([np.bincount(labels[part], minlength=10).max() / 60 for part in even]) < 0.25


@pytest.mark.parametrize("how", ["sorted", "dirichlet", "dirichlet:", "label-skew:"])
def test_an_unknown_partition_is_refused(how: str) -> None:
    with pytest.raises(ValueError, match="expected iid, groups, dirichlet:ALPHA or label-skew:ALPHA"):
        partition(np.zeros(10, np.int64), 2, how, seed=0)


def test_a_division_that_leaves_a_client_without_examples_is_given_up_and_not_drawn_for_ever() -> None:
    with pytest.raises(ValueError, match=r"some of the 400 clients had no example.*label-skew:0\.01"):
        partition(np.arange(500) % 10, 400, "dirichlet:0.01", seed=0)


@pytest.fixture
def no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise RuntimeError("no network in this test")

    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", refuse)
    training.load.cache_clear()


@pytest.mark.usefixtures("no_download")
def test_missing_mnist_is_an_error_that_says_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="SURP_FL_DATA"):
        training.load("lenet5", "mnist", tmp_path)


@pytest.mark.usefixtures("no_download")
def test_the_way_out_is_loud_and_labelled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = training.load("lenet5", "auto", tmp_path)
    assert dataset.name == "digits"
    assert "NOT MNIST" in capsys.readouterr().err


def test_digits_look_like_mnist() -> None:
    digits = images.digits(Path())
    assert digits.train.images.shape == (1438, 28, 28)
    assert digits.test.images.shape == (359, 28, 28)
    assert digits.train.images.dtype == np.uint8
    assert digits.train.images.max() == 255
    assert set(digits.test.groups) == set(range(10))


def test_the_data_root_comes_from_the_argument_then_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SURP_FL_DATA", "/from/environment")
    assert data_root("/given") == Path("/given")
    assert data_root() == Path("/from/environment")
    monkeypatch.delenv("SURP_FL_DATA")
    assert data_root() == Path("data").resolve()


def test_schemes_are_read_from_the_command_line() -> None:
    assert parse("surp:218") == ("surp", 218, {})
    assert scheme_of("surp:218") == SuRP(budget=218)
    assert parse("surp:ratio=1000") == ("surp", None, {"ratio": 1000})
    assert scheme_of("surp:ratio=1000:keep=0.5") == SuRP(ratio=1000, memory=ErrorFeedback(0.5, step_ahead=0.5))
    assert scheme_of("surp:218:step_ahead=0") == SuRP(218, memory=ErrorFeedback())
    assert scheme_of("rtop-k:2050:ratio=2.5") == RTopK(budget=2050, ratio=2.5)
    assert scheme_of("surp:218:momentum=0.5") == SuRP(budget=218, memory=MomentumCorrection(0.5))
    assert scheme_of("stc:218:keep=0.9") == STC(budget=218, memory=ErrorFeedback(0.9))
    assert last_scheme_of("dgc:2050:momentum=0.5") == DGC(2050, memory=MomentumCorrection(0.5))
    for wrong, says in (
        ("sprup", "there are"),
        ("surp:x", "number of bytes"),
        ("surp", "write 'surp:218', or a share of the model's, write 'surp:ratio=1000'"),
        ("surp:218:ratio=1000", "needs one budget, in bytes, write 'surp:218', or a share"),
        ("rtop-k:ratio=2", "write 'rtop-k:218'$"),
        ("dense:3", "no bud"),
        ("rtop-k:2050:ratio=much", "number of bytes, or an option"),
        ("rtop-k:2050:3", "number of bytes, or an option"),
        ("rtop-k:2050:rate=3", "rate"),
    ):
        with pytest.raises(ValueError, match=says):
            scheme_of(wrong)


def test_a_budget_for_the_way_down_goes_from_one_number_of_bytes_to_another() -> None:
    growing: Any = scheme_of_round("surp:250:to=710", rounds=93)
    assert [growing(server_round) for server_round in (1, 2, 93, 200)] == [
        SuRP(budget=budget) for budget in (250, 255, 710, 710)
    ]
    falling: Any = scheme_of_round("stc:300:to=100:keep=0.5", rounds=3)
    assert falling(2) == STC(200, memory=ErrorFeedback(0.5))
    assert scheme_of_round("surp:2000", rounds=9) == SuRP(2000)
    assert scheme_of_round("surp:100:to=50", rounds=1)(1) == SuRP(100)  # type: ignore[operator]


def test_settings_survive_flowers_run_config() -> None:
    assert Settings.from_run_config(SMALL.to_run_config()) == SMALL


def test_a_run_is_a_function_of_its_settings() -> None:
    first, second, other = (run_in_process(settings) for settings in (SMALL, SMALL, replace(SMALL, seed=1)))
    assert first.model_sha256 == second.model_sha256 != other.model_sha256
    assert replace(first, encode_seconds_mean=0, decode_seconds_mean=0) == replace(
        second, encode_seconds_mean=0, decode_seconds_mean=0
    )
    assert first.payload_bytes_up_max <= 218
    assert 0.75 < first.payload_bytes_down / (2 * 3 * 4 * PARAMETERS) < 0.86  # whole models, without loss
    assert first.failures == 0


def test_dense_learns_the_digits() -> None:
    row = run_in_process(replace(SMALL, scheme="dense", rounds=4, local_steps=20))
    assert row.payload_bytes_up_max == 4 * PARAMETERS + 4
    assert row.accuracy[-1] > 0.8


def test_the_average_of_models_is_tested_and_not_trained_from() -> None:
    average = server_app._Average(0.75)
    models = [{"w": np.full(2, value, np.float32)} for value in (8, 1, 2, 0)]
    assert [float(average.of(model)["w"][1]) for model in models] == [8, 1, 1.25, 0.9375]
    rows = [run_in_process(replace(SMALL, rounds=3, ema_decay=share)) for share in (0.0, 0.9)]
    assert rows[0].model_sha256 == rows[1].model_sha256
    assert rows[0].accuracy[:2] == rows[1].accuracy[:2]
    assert rows[0].accuracy[3] != rows[1].accuracy[3]


def test_no_step_follows_a_gradient_that_is_longer_than_the_clipping_allows() -> None:
    digits = images.digits(Path())
    moved = {}
    for clipping in (0.0, 0.1, 1e6):
        torch.manual_seed(0)
        model = LeNet5Caffe()
        before = parameters_to_vector(model.parameters()).detach()
        training.train(
            WORKLOADS["lenet5"], model, digits.train, np.arange(64), Hyperparameters(0.5, 0.0, 0.0), steps=1,
            batch_size=16, max_grad_norm=clipping, precision="float32", rng=np.random.default_rng(0),
        )  # fmt: skip
        moved[clipping] = parameters_to_vector(model.parameters()).detach() - before
    assert float(moved[0.1].norm()) == pytest.approx(0.5 * 0.1, rel=1e-3)
    assert float(moved[0.0].norm()) > 0.5 * 0.2
    assert torch.equal(moved[0.0], moved[1e6])
    torch.testing.assert_close(moved[0.1] / moved[0.1].norm(), moved[0.0] / moved[0.0].norm(), rtol=0, atol=1e-5)


def test_products_in_bfloat16_are_near_those_in_float32() -> None:
    rows = [run_in_process(replace(SMALL, scheme="dense", precision=name)) for name in ("float32", "bfloat16")]
    assert rows[0].model_sha256 != rows[1].model_sha256
    assert rows[1].accuracy[-1] == pytest.approx(rows[0].accuracy[-1], abs=0.1)
    with pytest.raises(ValueError, match="expected one of float32, bfloat16"):
        run_in_process(replace(SMALL, precision="float16"))


def test_every_scheme_runs_with_clients_that_take_turns() -> None:
    for scheme in ("dense", "qsgd", "surp:218", "stc:218", "top-k:218", "rtop-k:218", "dgc:218", "surp-paper:218"):
        row = run_in_process(replace(SMALL, scheme=scheme, clients_per_round=2, rounds=5, local_steps=1))
        assert row.failures == 0
        assert row.payload_bytes_up == pytest.approx(2 * sum(row.payload_bytes_up_by_round))
        assert row.budget is None or row.payload_bytes_up_by_round[-1] <= row.budget


def test_the_same_clients_are_sampled_whatever_the_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    handle = InProcessGrid._handle

    def noted(grid: InProcessGrid, message: Message) -> Message:
        asked.append(message.metadata.dst_node_id)
        return handle(grid, message)

    monkeypatch.setattr(InProcessGrid, "_handle", noted)
    few = replace(SMALL, clients=5, clients_per_round=2, rounds=4, local_steps=1)
    for scheme in ("dense", "surp:218"):
        run_in_process(replace(few, scheme=scheme))
    assert asked[:8] == asked[8:]
    assert len(set(asked)) > 2


def test_the_learning_rate_warms_up_and_falls() -> None:
    settings = Settings(rounds=10, learning_rate=1.0, warm_up=4, final_rate=0.1)
    rates = [settings.rate_in(server_round) for server_round in range(1, 11)]
    assert rates[0] == pytest.approx(0.3)
    assert rates[:5] == sorted(rates[:5])
    assert rates[4] == pytest.approx(1.0)
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert rates[-1] == pytest.approx(0.1)
    assert {Settings().rate_in(server_round) for server_round in range(1, 21)} == {0.015}


def test_debts_fade_as_the_learning_rate_falls() -> None:
    settings = Settings(rounds=10, learning_rate=1.0, warm_up=4, final_rate=0.1, fading=True)
    kept = [settings.keep_in(server_round, server_round - 1) for server_round in range(1, 11)]
    assert kept[:5] == [1.0] * 5
    assert np.prod(kept) == pytest.approx(0.1)
    assert settings.keep_in(9, last=6) == pytest.approx(np.prod(kept[6:9]))
    assert {replace(settings, fading=False).keep_in(now, now - 1) for now in range(1, 11)} == {1.0}

    def keep(now: int) -> float:
        return settings.keep_in(now, now - 1)

    assert fading("stc:218", keep)(8) == STC(218, memory=ErrorFeedback(keep(8)))
    assert fading("dgc:2050", keep)(8) == DGC(2050, memory=MomentumCorrection(keep=keep(8)))
    assert fading("dense", keep)(8) == scheme_of("dense")
    norms: dict[bool, list[float]] = {True: [], False: []}
    for on, owed in norms.items():

        def note(server_round: int, score: Score | None, spent: Traffic | None, owed: list[float] = owed) -> None:
            owed.extend(spent.residual_norm if spent else [])

        in_process.in_process(replace(SMALL, rounds=4, final_rate=0.01, fading=on), note)
    assert np.mean(norms[True][-3:]) < 0.7 * np.mean(norms[False][-3:])


def test_debts_fade_over_the_rounds_that_a_client_sits_out(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int, float]] = []  # node, round, keep

    class Watched(CompressUpdates):
        def __call__(self, message: Message, context: Context, call_next: Any) -> Message:
            now = int(message.content.config_records["config"]["server-round"])  # type: ignore[arg-type]
            scheme: Any = self.scheme(now)  # type: ignore[operator]
            seen.append((int(context.node_config["partition-id"]), now, scheme.memory.keep))
            return super().__call__(message, context, call_next)

    monkeypatch.setattr(client_app, "CompressUpdates", Watched)
    settings = replace(SMALL, clients=4, clients_per_round=2, rounds=6, local_steps=1, final_rate=0.1, fading=True)
    run_in_process(settings)
    last: dict[int, int] = {}
    sat_out = 0
    for node, now, keep in seen:
        assert keep == pytest.approx(settings.keep_in(now, last.get(node, 0)))
        sat_out += now > last.get(node, now) + 1
        last[node] = now
    assert sat_out > 0


def test_flowers_run_config_has_the_defaults_of_the_settings() -> None:
    config = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["tool"]["flwr"]["app"]["config"]
    assert config == Settings().to_run_config()
    assert {name: type(value) for name, value in config.items()} == {
        name: type(value) for name, value in Settings().to_run_config().items()
    }


def test_every_setting_has_a_help_text_and_an_option() -> None:
    names = [each.name for each in fields(Settings)]
    parser = parser_of("simulations", "A test.")
    add_settings(parser, names, rounds=7)
    options = parser.parse_args(["--dataset", "digits", "--scheme", "stc:100", "--fading", "--momentum", "0.5"])
    changed = Settings(rounds=7, dataset="digits", scheme="stc:100", fading=True, momentum=0.5)
    assert settings_of(options) == changed
    assert all(each.metadata["help"] for each in fields(Settings))
    with pytest.raises(SystemExit):
        parser.parse_args(["--precision", "float16"])


def test_held_out_images_are_neither_trained_with_nor_of_the_test_set() -> None:
    whole = images.digits(Path())
    held = held_out_of(whole, 200)
    assert len(held.test.groups) == 200
    assert len(held.train.groups) == len(whole.train.groups) - 200
    both = np.concatenate([held.train.images, held.test.images]).reshape(len(whole.train.groups), -1)
    order, expected = (np.lexsort(pixels.T) for pixels in (both, whole.train.images.reshape(len(both), -1)))
    np.testing.assert_array_equal(both[order], whole.train.images.reshape(len(both), -1)[expected])
