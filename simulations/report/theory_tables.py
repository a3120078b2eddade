"""Tables of the paper's theory beside what its algorithms do."""

from __future__ import annotations

import math
from collections.abc import Sequence

from simulations.report import markdown
from simulations.report.theory import (
    SOURCES,
    Curve,
    Floor,
    Measured,
    Network,
    Refreshes,
    bound_of,
    least_ratio,
    probability_of,
    size_for,
    slope_of,
)

KEPT = (0.99, 0.9, 0.7)  # distortions in units of 1/λ


def table(found: Sequence[Measured]) -> str:
    """Show all of it, one table after the other."""
    curves = [each for each in found if isinstance(each, Curve)]
    return "\n".join([
        _slopes(curves), _rates(curves), _floors([each for each in found if isinstance(each, Floor)]), _remark(curves),
        _first_steps([each for each in found if isinstance(each, Refreshes)]),
        _networks([each for each in found if isinstance(each, Network)]),
    ])  # fmt: skip


def _slopes(curves: Sequence[Curve]) -> str:
    lines = []
    for each in curves:
        slopes = (each.first_slope, slope_of(each.algorithm, each.n), each.slope_to_refresh)
        steps = (each.first_refresh, math.log(each.n))
        cells = [*(f"{slope:.3f}" for slope in slopes), *(f"{number:.1f}" for number in steps)]
        lines.append([SOURCES[each.algorithm], f"{each.n:,}", *cells])
    header = ["source", "n", "first step", "Theorem 2's formula", "until the first refresh", "steps until it", "ln n"]
    exponent = round(math.log10(size_for(0.9)))
    head = (
        "**Slope at zero rate**, −λ·ΔD/ΔR, with β = ln n; mean of the seeds. An ideal code has 1; by the formula, "
        f"Algorithm 1 has 0.9 at n = 10^{exponent}."
    )
    return f"{head}\n\n{markdown.table(header, lines)}"


def _rates(curves: Sequence[Curve]) -> str:
    def cells(curve: Curve, kept: float) -> list[str]:
        ratios = (curve.ratio(kept), least_ratio(curve.n, kept), curve.ratio(kept, sets=True))
        return ["—" if ratio is None else f"{ratio:.2f}" for ratio in ratios]

    lines = []
    for each in curves:
        ratios = [cell for kept in KEPT for cell in cells(each, kept)]
        refreshes = f"{each.refresh_rates[-1] / each.rates[-1]:.2%}"
        lines.append([SOURCES[each.algorithm], f"{each.n:,}", str(each.seeds), *ratios, refreshes])
    header = ["source", "n", "seeds"]
    header += [text for kept in KEPT for text in (f"D = {kept:g}/λ", "at least", "sets")] + ["refreshes"]
    head = (
        "**Rate in units of R(D) = −ln(λD)**, as the paper counts it: ln n(n − 1) nats a pair, ln n an index. *At "
        "least*: k indices can take away no more than the k largest magnitudes, k·(ln(n/k) + 1)/λ on average. *Sets*: "
        "if steps whose thresholds are within 10 % were sent as a set, with the smallest of them. *Refreshes*: what "
        "they add, as a share of the rate at the last step."
    )
    return f"{head}\n\n{markdown.table(header, lines)}"


def _floors(floors: Sequence[Floor]) -> str:
    lines = [[SOURCES[each.algorithm], f"{each.n:,}", f"{each.left:.2g}"] for each in floors]
    head = f"**What is left** after {floors[0].nats:g} nats a symbol, of which R(D) needs 7 for D = 0.001/λ."
    return f"{head}\n\n{markdown.table(['source', 'n', 'D [1/λ]'], lines)}"


def _remark(curves: Sequence[Curve]) -> str:
    coordinates = sum(each.n * each.seeds for each in curves)
    exceeding = sum(each.exceeding for each in curves)
    return (
        f"**Remark 2**, ‖u‖ ≥ ‖v‖: of {coordinates:,} coordinates, {exceeding} were decoded larger than they are, or "
        "with the other sign. What is decoded only grows from step to step, so this holds after every one.\n"
    )


def _first_steps(measured: Sequence[Refreshes]) -> str:
    def share(of: float, trials: int) -> str:
        return f"{of:.5f} ± {math.sqrt(of * (1 - of) / trials):.5f}"

    lines = []
    for each in measured:
        bound, probability = bound_of(each.algorithm, each.beta), probability_of(each.algorithm, each.n, each.beta)
        shares = (share(of, each.trials) for of in (each.known, each.estimated))
        cells = [f"{each.beta:.2f}", f"{bound:.5f}", f"{probability:.5f}", *shares, f"{each.trials:,}"]
        lines.append([SOURCES[each.algorithm], f"{each.n:,}", *cells])
    header = ["source", "n", "β", "bound", "probability", "λ known", "λ estimated", "sources drawn"]
    head = (
        "**A refresh in the first step** (Eq. 8): how often a side has no candidate, which 2·exp(−β) bounds; of an "
        "exponential source, which has one side, exp(−β). With the sources' own λ, and with λ = 1/mean(|u|), ± a "
        "standard error."
    )
    return f"{head}\n\n{markdown.table(header, lines)}"


def _networks(measured: Sequence[Network]) -> str:
    shapes: dict[tuple[int, int, float], list[Network]] = {}
    for each in measured:
        shapes.setdefault((each.depth, each.width, each.sparsity), []).append(each)
    lines = [
        [
            str(depth), str(width), f"{sparsity:.0%}",
            *(f"{ratio:.2g}" for each in same for ratio in (each.of_random, each.of_all)),
        ]
        for (depth, width, sparsity), same in shapes.items()
    ]  # fmt: skip
    of_each = [
        text for each in next(iter(shapes.values())) for text in (f"Algorithm {each.algorithm}", "with vertices")
    ]
    grown = sum(each.larger_norms for each in measured)
    head = (
        "**Theorem 1**: the largest change of the output of random ReLU networks over inputs with ‖x‖₁ ≤ 1, in units "
        f"of the bound; of {measured[0].seeds} networks each. Random inputs alone; and with the vertices ±e_i and "
        f"mixtures of the worst. Layers whose norm grew: {grown}."
    )
    return f"{head}\n\n{markdown.table(['layers', 'width', 'zeros', *of_each], lines, 'r' * (3 + len(of_each)))}"
