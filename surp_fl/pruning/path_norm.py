"""The path norm of a ReLU network, and what each weight adds to it: a distortion that knows how layers are connected.

R(|w|) is the sum of the outputs of a network for an input of ones, with the magnitudes of its weights and without
biases: over all paths from an input to an output, the product of the magnitudes along the path. If ŵ has the signs of w
and nowhere a larger magnitude, as what SuRP reconstructs (Remark 2), then for every input with |x_i| ≤ 1

    ‖f(x; w) − f(x; ŵ)‖₁ ≤ R(|w|) − R(|ŵ|)

for networks without biases. Proof, layer by layer: with activations a and â and their bounds A and Â, |a − â| ≤ A − Â
gives |W a − Ŵ â| ≤ (|W| − |Ŵ|) A + |Ŵ| (A − Â) = |W| A − |Ŵ| Â; ReLU, pooling and sums of layers keep that. Theorem 1
of Isik et al. 2022 bounds the same by products of layers' norms, over inputs of ‖x‖₁ ≤ 1.

To first order a weight adds u = |w|·∂R/∂|w| to R, in place of |w| / ‖W‖₁. It holds for few weights at a time, so that
gradients are taken anew in each of some cycles. The largest u are kept, the near-maxima that steps of Algorithm 2 look
for (Remark 1): u has far heavier tails than the exponential source that the algorithm's thresholds are made for. With
squares in place of magnitudes, R is the variance of the outputs if signals have random signs, which prunes better.

Knows torch. Path norms: Neyshabur et al. 2015, "Norm-Based Capacity Control in Neural Networks".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm


def path_gradients(module: torch.nn.Module, inputs: torch.Tensor, power: int = 2) -> dict[str, torch.Tensor]:
    """How much each weight of a network adds to its path norm, divided by its magnitude.

    Args:
        module: of linear maps, convolutions, ReLU, pooling, sums and batch normalisation, one tensor to one tensor; it
            stays as it is, and may be pruned by the conventions of `torch.nn.utils.prune`.
        inputs: floats of the shape of some inputs; their values do not matter.
        power: of the magnitudes in R: 1, or 2 for squares.

    Returns:
        By the name of each parameter of two dimensions or more, ∂R/∂|w|^power · |w|^(power − 1), in its shape; float64,
        all divided by the same number, so that the largest |w|·g is 1.

    Raises:
        ValueError: another power, inputs that are not floats, or R is 0 or not finite: no path is left, or layers are
            of other kinds.
    """
    if power not in (1, 2):
        raise ValueError(f"power = {power}; expected 1 for magnitudes, or 2 for squares")
    if not inputs.is_floating_point():
        raise ValueError(f"inputs of {inputs.dtype}; expected floats: path norms are of networks of ReLU layers")
    parameters = dict(module.named_parameters())
    powers = {}
    for name, parameter in parameters.items():
        is_bias = name.rpartition(".")[2].removesuffix("_orig") == "bias"
        magnitudes = parameter.detach().double().abs().pow(power)
        powers[name] = (torch.zeros_like(magnitudes) if is_bias else magnitudes).requires_grad_()
    with _for_a_test(module):
        found = functional_call(module, {**powers, **_buffers(module, power)}, (torch.ones_like(inputs).double(),))
    found.sum().backward()
    gradients, largest = {}, 0.0
    for name, parameter in parameters.items():
        slope = powers[name].grad
        if parameter.dim() >= 2 and slope is not None:
            shared = slope * parameter.detach().double().abs().pow(power - 1)
            largest = max(largest, float((shared * parameter.detach().double().abs()).max()))
            gradients[name.removesuffix("_orig")] = shared
    if not 0 < largest < float("inf"):
        raise ValueError(
            f"the largest share of the path norm is {largest}; expected a number above 0: the network needs layers of "
            "ReLU kind, and a path from its inputs to its outputs"
        )
    return {name: gradient / largest for name, gradient in gradients.items()}


def _buffers(module: torch.nn.Module, power: int) -> dict[str, torch.Tensor]:
    """Buffers with which batch normalisation only scales: by γ/σ, or its square."""
    found = {name: buffer.double() if buffer.is_floating_point() else buffer for name, buffer in module.named_buffers()}
    for name, each in module.named_modules():
        if isinstance(each, _BatchNorm) and each.running_var is not None and each.running_mean is not None:
            prefix = f"{name}." if name else ""
            found[f"{prefix}running_mean"] = torch.zeros_like(each.running_mean, dtype=torch.double)
            found[f"{prefix}running_var"] = (each.running_var.double() + each.eps).pow(power) - each.eps
    return found


@contextmanager
def _for_a_test(module: torch.nn.Module) -> Iterator[None]:
    """Put all layers into the mode of tests; afterwards they are as before, with what they had made of their masks."""
    modes = {each: each.training for each in module.modules()}
    products = {
        (each, name): value
        for each in module.modules()
        for name, value in vars(each).items()
        if isinstance(value, torch.Tensor)
    }
    module.eval()
    try:
        yield
    finally:
        for each, mode in modes.items():
            each.training = mode
        for (each, name), value in products.items():
            setattr(each, name, value)
