"""Every workload of the table, small: images of digits, and plays that are made up here."""

from __future__ import annotations

import gzip
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from simulations.app import images, shakespeare, training
from simulations.app.datasets import DataMissing, held_out_of, partition
from simulations.app.row import Row
from simulations.app.settings import Settings
from simulations.app.shakespeare import CHARACTERS, LENGTH, ROLES
from simulations.app.workloads import WORKLOADS, lora
from simulations.experiments.command_line import add_settings, parsed, parser_of, settings_of
from simulations.report.tuning import score_of
from tests.simulations.runs import SMALL, run_in_process

pytestmark = pytest.mark.slow

SIZES = {"lenet5": (431_080, 0), "bn-cnn": (421_834, 192), "resnet20": (272_186, 1_568), "vgg": (147_162, 448)}
SIZES |= {"transformer": (462_912, 0), "lora": (49_152, 0), "mlp": (101_770, 0)}


@pytest.fixture
def plays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two plays of a hundred roles together, and one for pre-training, which takes two steps."""
    folder = tmp_path / "shakespeare"
    folder.mkdir()
    words = ["thou", "art", "more", "lovely", "and", "more", "temperate", "rough", "winds", "do", "shake"]
    rng = np.random.default_rng(0)

    def line() -> str:
        return " ".join(rng.choice(words, 8)) + ","

    for place, name in enumerate(("hamlet", "macbeth", "henry_v")):
        roles = [f"ROLE {chr(65 + place)}{chr(65 + i // 26)}{chr(65 + i % 26)}" for i in range(55)]
        speeches = [f"{role}.\n" + "\n".join(line() for _ in range(20)) for role in roles]
        (folder / f"{name}.txt").write_text("ACT I.\n\n[Enter ALL.]\n\n" + "\n\n".join(speeches) + "\n")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(lora, "_STEPS", 2)
    lora._weights.cache_clear()
    training.load.cache_clear()
    return tmp_path


def small(workload: str, root: Path, scheme: str = "surp:400") -> Row:
    settings = Settings(**{**WORKLOADS[workload].defaults, "workload": workload, "scheme": scheme})
    of_images = "digits" in WORKLOADS[workload].datasets
    return run_in_process(
        replace(
            settings, dataset="digits" if of_images else "auto", data_root=str(root), rounds=3, local_steps=2,
            batch_size=8, clients=3 if of_images else ROLES, clients_per_round=0 if of_images else 3, test_every=2,
        )
    )  # fmt: skip


@pytest.mark.parametrize("workload", WORKLOADS)
def test_every_workload_trains_through_the_app_within_its_budget(workload: str, plays: Path) -> None:
    row = small(workload, plays)
    assert (row.failed, row.failures) == ("", 0)
    assert row.payload_bytes_up_max <= 400
    assert row.parameters == SIZES[workload][0]
    assert len(row.payload_bytes_up_by_round) == 3
    assert row.tested_rounds == [0, 2, 3]  # every second one, and the last
    assert len(row.accuracy) == len(row.loss) == 3
    assert all(np.isfinite(row.loss))
    assert score_of(row) == pytest.approx(
        np.mean(row.accuracy[-2:]) if WORKLOADS[workload].metric == "accuracy" else -np.mean(row.loss[-2:])
    )
    assert Row.from_json(row.to_json()) == replace(row, settings=replace(row.settings, data_root=""))


def test_what_is_trained_travels_and_nothing_else(plays: Path) -> None:
    for name, (trained, statistics) in SIZES.items():
        arrays = training.initial_arrays(WORKLOADS[name], 0, plays)
        floats = [array for array in arrays.values() if array.dtype.kind == "f"]
        assert sum(array.size for array in floats) == trained + statistics
    assert all("factor_" in name for name in training.initial_arrays(WORKLOADS["lora"], 0, plays))
    model = training.model_with(WORKLOADS["lora"], training.initial_arrays(WORKLOADS["lora"], 0, plays), plays)
    plain = lora.pretrained(plays)
    characters = torch.zeros(1, LENGTH, dtype=torch.int64)
    torch.testing.assert_close(model(characters), plain(characters))  # B is zero


def test_the_model_is_pretrained_once(plays: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = training.initial_arrays(WORKLOADS["lora"], 0, plays)
    monkeypatch.setattr(lora, "_pretrain", lambda passages: pytest.fail("it is there already"))
    lora._weights.cache_clear()
    assert all(np.array_equal(first[name], array) for name, array in training.initial_arrays(
        WORKLOADS["lora"], 0, plays
    ).items())  # fmt: skip


def test_arrays_of_another_model_are_refused() -> None:
    with pytest.raises(ValueError, match="LeNet-5-Caffe has"):
        training.model_with(WORKLOADS["lenet5"], {"weight": np.zeros(3, np.float32)}, Path())


def test_a_client_is_a_role_and_is_tested_on_what_it_says_last(plays: Path) -> None:
    dataset = shakespeare.roles(plays)
    parts = partition(dataset.train.groups, ROLES, "groups", seed=0)
    assert len(parts) == ROLES
    spoken: dict[str, str] = {}
    for name in ("hamlet", "macbeth"):
        spoken |= shakespeare.speeches((plays / "shakespeare" / f"{name}.txt").read_text())
    longest = sorted(spoken, key=lambda role: -len(spoken[role]))[0]

    def text_of(passages: shakespeare.Passages) -> str:
        mine = passages.part(np.flatnonzero(passages.groups == 0))
        characters = torch.cat([mine.batch(np.array([i]))[0][0] for i in range(len(mine.groups))])
        return "".join(CHARACTERS[place] for place in characters.tolist())

    said = text_of(dataset.train) + text_of(dataset.test)
    assert said == spoken[longest][: len(said)]
    assert len(said) > len(spoken[longest]) - 2 * LENGTH
    share = np.bincount(dataset.test.groups) / (np.bincount(dataset.train.groups) + np.bincount(dataset.test.groups))
    assert 0.15 < share.min() < share.max() < 0.25
    with pytest.raises(ValueError, match="give --clients 100"):
        partition(dataset.train.groups, 10, "groups", seed=0)


def test_no_client_holds_a_play_of_the_pretraining(plays: Path) -> None:
    (plays / "shakespeare" / "henry_v.txt").write_text("@" * 1000)
    at = CHARACTERS.index("@")
    assert (shakespeare.other_plays(plays).characters == at).all()
    dataset = shakespeare.roles(plays)
    assert not (dataset.train.characters == at).any()
    assert not (dataset.test.characters == at).any()


def test_missing_plays_are_an_error_that_says_where_to_put_them(tmp_path: Path) -> None:
    for load in (shakespeare.roles, shakespeare.other_plays):
        with pytest.raises(DataMissing, match="Project Gutenberg"):
            load(tmp_path)


def test_images_are_read_from_files_as_torchvision_names_them(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 28, 28), np.uint8)
    labels = np.arange(5, dtype=np.uint8)
    for part in ("train", "t10k"):
        content = struct.pack(">BBBB3I", 0, 0, 8, 3, *pixels.shape) + pixels.tobytes()
        (raw / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">BBBBI", 0, 0, 8, 1, 5) + labels.tobytes())
    found = images.mnist(tmp_path)
    assert np.array_equal(found.train.images, pixels)
    assert np.array_equal(found.test.groups, labels)
    (raw / "t10k-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8b cut")
    with pytest.raises(DataMissing, match="damaged"):
        images.mnist(tmp_path)


def test_a_dataset_that_the_workload_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="transformer has: shakespeare"):
        training.load("transformer", "mnist", Path())


def test_the_command_line_takes_what_it_leaves_out_from_the_workload(plays: Path) -> None:
    parser = parser_of("simulations", "A test.")
    add_settings(parser, ("workload", "dataset", "data_root", "rounds", "clients", "learning_rate"), rounds=7)
    given = ["--workload", "transformer", "--learning-rate", "0.5", "--data-root", str(plays)]
    settings = settings_of(parsed(parser, given))
    assert (settings.clients, settings.partition, settings.batch_size) == (ROLES, "groups", 8)
    assert (settings.learning_rate, settings.rounds, settings.dataset) == (0.5, 7, "shakespeare")


def test_passages_can_be_held_out(plays: Path) -> None:
    whole = shakespeare.roles(plays)
    held = held_out_of(whole, 50)
    assert (len(held.test.groups), len(held.train.groups)) == (50, len(whole.train.groups) - 50)


def test_a_run_that_is_tested_seldom_counts_bytes_up_to_the_tested_round() -> None:
    from simulations.report.rows import bytes_to, uploaded_by_round

    row = run_in_process(replace(SMALL, rounds=4, test_every=3))
    assert row.tested_rounds == [0, 3, 4]
    row = replace(row, accuracy=(0.1, 0.5, 0.9))
    assert bytes_to(row, 0.5) == uploaded_by_round(row)[2]
    assert bytes_to(row, 0.9) == uploaded_by_round(row)[3]


def test_no_steps_are_one_pass_over_a_clients_examples() -> None:
    found = list(training.batches(np.arange(100, 110), 4, 0, np.random.default_rng(0)))
    assert [len(batch) for batch in found] == [4, 4, 2]
    assert sorted(np.concatenate(found).tolist()) == list(range(100, 110))


def test_clients_can_be_averaged_as_equals() -> None:
    """It makes no difference where all hold as many images."""
    given = replace(SMALL, scheme="dense", rounds=1, clients=2)
    alike = {run_in_process(replace(given, equal_weights=equal)).model_sha256 for equal in (True, False)}
    uneven = replace(given, partition="dirichlet:0.3")
    unlike = {run_in_process(replace(uneven, equal_weights=equal)).model_sha256 for equal in (True, False)}
    assert (len(alike), len(unlike)) == (1, 2)
