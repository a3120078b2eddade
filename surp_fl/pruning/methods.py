"""The table of pruning methods. A method is one small function: of scores, of counts for each layer, or of masks.

Three kinds, and what makes a row of each:

    by_score(score)   scores of a layer's weights, shape (size,); the largest of the whole model are kept
    by_rank(score)    the same of a layer's magnitudes sorted from the largest, for scores that fall with the rank
    by_count(count)   how many weights each layer keeps; its largest magnitudes stay

or any function of a `Task` that gives a `Selection`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from surp_fl.pruning import allocation, scores
from surp_fl.pruning.layers import Mask
from surp_fl.pruning.refinement import surp, surp_published
from surp_fl.pruning.selection import largest
from surp_fl.pruning.task import Selection, Task
from surp_fl.types import Array, Floats, Integers

Select = Callable[..., Selection]  # of a Task, and the method's options by name


@dataclass(frozen=True)
class Method:
    """A row of the table.

    Attributes:
        name: in `prune(method=...)`.
        summary: what is kept, in one line.
        source: of the definition.
        select: makes the masks of a task; its keyword arguments are the method's options.
        needs_gradients: whether `gradients=` must be given.
    """

    name: str
    summary: str
    source: str
    select: Select
    needs_gradients: bool = False

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the method's options."""
        parameters = inspect.signature(self.select).parameters.values()
        return tuple(each.name for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY)


def by_score(score: Callable[..., Array]) -> Select:
    """A method that keeps the largest scores of the whole model.

    Args:
        score: of the weights of one layer, from a task, the layer's place, and options by name; shape (size,), −1 where
            pruned earlier, else at least 0.
    """

    def select(task: Task, **options: object) -> Selection:
        return Selection(largest([score(task, place, **options) for place in range(len(task.layers))], task.keep))

    return _with_options_of(score, select)


def by_rank(score: Callable[[Floats], Floats]) -> Select:
    """A method that keeps the largest scores of the whole model, where a layer's scores fall with the magnitudes' rank.

    One layer is sorted at a time, and only the ranks that could be kept are compared with other layers'.

    Args:
        score: of a layer's magnitudes divided by its largest, in falling order; at least 0, not rising.
    """

    def select(task: Task) -> Selection:
        ranked = []
        for layer in task.layers:
            magnitudes = layer.flat_magnitudes().astype(np.float64)
            magnitudes[::-1].sort()
            top = magnitudes[: min(layer.left, task.keep)]
            ranked.append(score(top / top[0]) if top.size > 0 and top[0] > 0 else np.zeros(top.size))
        counts = np.array([np.count_nonzero(mask) for mask in largest(ranked, task.keep)], np.int64)
        return _largest_of_each(task, counts)

    return select


def by_count(count: Callable[..., Integers]) -> Select:
    """A method that keeps a number of weights in each layer, those of the largest magnitude.

    Args:
        count: of a task, and options by name; shape (layers,), with the task's number of weights as its sum.
    """

    def select(task: Task, **options: object) -> Selection:
        return _largest_of_each(task, count(task, **options))

    return _with_options_of(count, select)


def _with_options_of(function: Callable[..., object], select: Select) -> Select:
    """A method whose options are the keyword arguments of the function that it is made of."""
    return functools.wraps(function)(select)


def _largest_of_each(task: Task, counts: Integers) -> Selection:
    """The largest magnitudes of each layer."""
    masks: list[Mask] = []
    for layer, count in zip(task.layers, counts.tolist(), strict=True):
        if not 0 <= count <= layer.left:
            raise ValueError(f"'{layer.name}' is to keep {count:,} weights, but it has {layer.left:,} that are left")
        masks += largest([layer.flat_magnitudes()], count)
    return Selection(masks)


def _table(*rows: Method) -> Mapping[str, Method]:
    return {row.name: row for row in rows}


METHODS: Mapping[str, Method] = _table(
    Method("surp", "refined by SuRP until so many weights are not zero", "Isik et al. 2022, Algorithm 2", surp),
    Method(
        "surp-published",
        "SuRP with the slower rate of its authors' published code",
        "github.com/BerivanIsik/SuRP",
        surp_published,
    ),
    Method(
        "surp-lamp",
        "largest |w| / Σ |w'| over the |w'| ≥ |w| of its layer: SuRP's l1 distortion, relative to what is kept",
        "Theorem 3 of Isik et al. 2022 in the form of LAMP",
        by_rank(scores.surp_lamp),
    ),
    Method(
        "surp-path",
        "largest |w|·g of the model, g being the path norm's gradients: what SuRP's first picks would be (Remark 1)",
        "Theorem 1 of Isik et al. 2022 with a sum over paths in place of a product of norms; surp_fl.pruning.path_norm",
        by_score(scores.sensitivity),
        needs_gradients=True,
    ),
    Method("scaled", "largest |w| / s, s being its layer's norm", "Remark 1 of Isik et al.", by_score(scores.scaled)),
    Method("global", "largest |w| of the model", "Morcos et al. 2019", by_score(scores.magnitude)),
    Method("uniform", "the same share of each layer", "Zhu, Gupta 2017", by_count(allocation.uniform)),
    Method(
        "adaptive",
        "uniform, but the first convolution whole and at least 20 % of the last layer (Uniform+)",
        "Gale et al. 2019",
        by_count(allocation.adaptive),
    ),
    Method(
        "erk",
        "shares in proportion to Σ dimensions / Π dimensions, none above 1 (Erdős–Rényi kernel)",
        "Evci et al. 2020",
        by_count(allocation.erk),
    ),
    Method("lamp", "largest w² / Σ w'² over the |w'| ≥ |w| of its layer", "Lee et al. 2021", by_rank(scores.lamp)),
    Method("snip", "largest |g·w| of the model", "Lee et al. 2019", by_score(scores.sensitivity), needs_gradients=True),
    Method("random", "uniformly at random over the model", "a floor for the others", scores.random),
)
