"""The paper's theory: what is exact holds in every case, what is measured agrees with the formulas beside it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulations.experiments import theory
from simulations.experiments.theory_networks import (
    bound_of,
    measure,
    outputs_of,
    perturbations,
    pruned,
    random_inputs,
    random_weights,
    vertices,
)
from simulations.experiments.theory_refreshes import first_step
from simulations.experiments.theory_sources import GROUP, SOURCES, Run, curve, floor, steps_for
from simulations.report import theory as report
from surp_fl.codecs.surp_paper.scales import induced_l1

algorithms = st.sampled_from(list(SOURCES))


def run_of(algorithm: int, n: int, steps: int, seed: int = 0) -> Run:
    return SOURCES[algorithm](n, steps, np.random.default_rng(seed))


@given(algorithms, st.integers(3, 3000), st.integers(1, 400), st.integers(0, 2**32))
def test_every_step_takes_its_threshold_over_n_from_the_distortion(
    algorithm: int, n: int, steps: int, seed: int
) -> None:
    """The number of steps is any: the identity holds after each."""
    run = run_of(algorithm, n, steps, seed)
    measured = np.abs(run.u - run.v).mean()
    assert run.distortions[-1] == pytest.approx(measured, rel=1e-9)
    assert (np.diff(run.distortions, prepend=run.first_distortion) * n) == pytest.approx(
        -run.thresholds * run.picks, rel=1e-6, abs=1e-12 * n
    )


@given(algorithms, st.integers(3, 3000), st.integers(1, 400), st.integers(0, 2**32))
def test_nothing_is_decoded_larger_than_it_is_or_with_another_sign(
    algorithm: int, n: int, steps: int, seed: int
) -> None:
    """Remark 2, coordinate by coordinate, after any number of steps."""
    run = run_of(algorithm, n, steps, seed)
    assert run.exceeding() == 0
    assert replace(run, v=run.v - 2 * run.u).exceeding() > 0
    assert replace(run, v=run.v * 1.1 + run.u).exceeding() > 0


@given(algorithms, st.integers(10, 3000), st.integers(1, 400), st.integers(0, 2**32))
def test_sets_cost_no_more_and_are_off_by_less_than_their_thresholds_may_differ(
    algorithm: int, n: int, steps: int, seed: int
) -> None:
    run = run_of(algorithm, n, steps, seed)
    distortions, rates = run.as_sets()
    assert (rates <= run.rates * (1 + 1 / (n - 1))).all()  # ln n(n − 1) a pair is a little less than 2·ln n
    assert (distortions >= run.distortions - 1e-12).all()
    taken, in_sets = run.first_distortion - run.distortions[-1], run.first_distortion - distortions[-1]
    assert in_sets >= (1 - GROUP) * taken * (1 - 1e-9)


@settings(max_examples=60)
@given(algorithms, st.integers(1, 5), st.integers(2, 24), st.floats(0, 0.99), st.integers(0, 2**32), st.integers(-8, 8))
def test_the_output_of_a_pruned_network_changes_by_no_more_than_theorem_1_allows(
    algorithm: int, depth: int, width: int, sparsity: float, seed: int, exponent: int
) -> None:
    rng = np.random.default_rng(seed)
    weights = random_weights(depth, width, rng)
    weights[0] = weights[0] * 2.0**exponent  # layers of unlike size
    decoded = pruned(weights, algorithm, sparsity, rng)
    norms = [
        (induced_l1(w.astype(np.float32)), induced_l1(v.astype(np.float32)))
        for w, v in zip(weights, decoded, strict=True)
    ]
    assert all(before >= after for before, after in norms)  # the theorem's condition
    inputs = np.concatenate([vertices(width), random_inputs(width, 50, rng)], axis=1)
    assert perturbations(weights, decoded, inputs).max() <= bound_of(weights, decoded) * (1 + 1e-9)


def test_theorem_1_is_attained_at_a_vertex_by_one_layer_and_not_by_random_inputs() -> None:
    rng = np.random.default_rng(0)
    weights = random_weights(1, 64, rng)
    decoded = pruned(weights, 1, 0.9, rng)
    bound = bound_of(weights, decoded)
    assert perturbations(weights, decoded, vertices(64)).max() == pytest.approx(bound, rel=1e-12)
    assert perturbations(weights, decoded, random_inputs(64, 1000, rng)).max() < bound / 2


def test_a_network_multiplies_its_inputs_by_its_layers_with_relus_between_them() -> None:
    first, second = np.array([[1.0, -1.0], [2.0, 0.0]]), np.array([[1.0, 3.0]])
    assert outputs_of([first, second], np.array([[1.0], [5.0]])).tolist() == [[6.0]]
    assert outputs_of([first], np.array([[1.0], [5.0]])).tolist() == [[-4.0], [2.0]]


def test_the_search_finds_more_than_random_inputs_do() -> None:
    network = measure(1, 2, 32, 0.9, seeds=1)
    assert 0 < network.of_random < network.of_all < 1
    assert network.larger_norms == 0


@pytest.mark.parametrize("algorithm", SOURCES)
@pytest.mark.parametrize("n", [1000, 100_000])
def test_the_first_step_has_the_slope_of_theorem_2(algorithm: int, n: int) -> None:
    found = curve([run_of(algorithm, n, 5)])
    assert found.first_slope == pytest.approx(report.slope_of(algorithm, n), rel=2**-7)  # 1/λ has 16 bits


def test_the_slope_comes_near_to_one_for_sizes_that_no_model_has() -> None:
    slopes = [report.slope_of(1, 10.0**exponent) for exponent in range(3, 300, 9)]
    assert slopes == sorted(slopes)
    assert slopes[0] < 0.63
    assert slopes[-1] > 0.98
    assert report.slope_of(1, report.size_for(0.9)) == pytest.approx(0.9, abs=1e-4)
    approximate = 1 - 2 * math.log(2 * math.log(1e6)) / math.log(1e6 * (1e6 - 1))
    assert report.slope_of(1, 1e6) == pytest.approx(approximate, abs=1e-6)


@given(algorithms, st.integers(10, 10**6), st.floats(0.01, 5))
def test_the_bound_of_equation_8_is_one(algorithm: int, n: int, beta: float) -> None:
    assert report.probability_of(algorithm, n, beta) <= report.bound_of(algorithm, beta) * (1 + 1e-9)


@pytest.mark.parametrize("algorithm", SOURCES)
def test_first_steps_need_a_refresh_as_often_as_they_should(algorithm: int) -> None:
    for row in first_step(algorithm, 500, (1.0, 2.0, 4.0), 8000, np.random.default_rng(algorithm)):
        probability = report.probability_of(algorithm, 500, row.beta)
        deviation = math.sqrt(probability * (1 - probability) / row.trials)
        assert abs(row.known - probability) < 4 * deviation
        assert row.estimated == pytest.approx(probability, rel=0.25)


@pytest.mark.parametrize("algorithm", SOURCES)
def test_indices_cost_what_the_largest_magnitudes_allow_and_sets_cost_less(algorithm: int) -> None:
    n = 100_000
    found = curve([run_of(algorithm, n, steps_for(algorithm, n, 0.3))])
    indices, sets = found.ratio(0.9), found.ratio(0.9, sets=True)
    assert indices is not None
    assert sets is not None
    assert report.least_ratio(n, 0.9) < indices < 1.1 * report.least_ratio(n, 0.9)
    assert 1 < sets < 0.7 * indices
    assert found.ratio(0.1) is None
    assert found.one_sided == 0
    assert 2 < found.first_refresh < 40
    assert found.refresh_rates[0] == 0 < found.refresh_rates[-1] < 0.1 * found.rates[-1]


def test_algorithm_1_goes_on_where_algorithm_2_stops() -> None:
    left = {algorithm: floor(algorithm, 1000, 30, np.random.default_rng(1000)).left for algorithm in SOURCES}
    assert left[1] < 1e-3
    assert 0.1 < left[2] < 0.5


def test_the_command_writes_rows_tables_and_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(theory, "TRIALS", {1000: 200})
    monkeypatch.setattr(theory, "DEPTHS", (1, 2))
    assert theory.main(["--most", "1000", "--out", str(tmp_path)]) == 0
    assert {file.name for file in tmp_path.iterdir()} == {"theory.json", "table.md", "rates.png", "bounds.png"}
    found = report.load(tmp_path)
    assert {type(each) for each in found} == set(report.KINDS.values())
    report.save(found, tmp_path / "again")
    assert (tmp_path / "again" / "theory.json").read_text() == (tmp_path / "theory.json").read_text()
    table = (tmp_path / "table.md").read_text()
    for part in ("Theorem 2's formula", "R(D) = −ln(λD)", "Remark 2", "Eq. 8", "Theorem 1"):
        assert part in table
