"""Decisions that are drawn, yet have a gradient: the Gumbel-sigmoid and its straight-through estimator.

A unit of logit z is kept with the chance that sigmoid((z + g + offset) / temperature) is at least a half, where g is
standard Gumbel noise: 1 - exp(-exp(z + offset)). With the offset 3 a logit of 0 keeps all but two units in a billion,
so training starts from the dense model (Lu et al. 2024, arXiv 2412.14426; offset and temperature as in the authors'
code).
"""

from __future__ import annotations

import torch
from torch import Tensor

OFFSET = 3.0
TEMPERATURE = 0.4


def gumbel_noise(like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Standard Gumbel noise, -log(-log(u)), of the shape, type and device of `like`."""
    uniform = torch.rand(like.shape, generator=generator, dtype=like.dtype, device=like.device)
    tiny = torch.finfo(like.dtype).tiny
    return -(-uniform.clamp_min(tiny).log()).clamp_min(tiny).log()


def gumbel_sigmoid(
    logits: Tensor,
    generator: torch.Generator | None = None,
    *,
    noise: bool = True,
    temperature: float = TEMPERATURE,
    offset: float = OFFSET,
) -> Tensor:
    """Soft decisions in (0, 1), of the shape of `logits`, with a gradient.

    Args:
        generator: where the noise is drawn from; None for torch's own.
        noise: False leaves it out. As Gumbel noise has a positive median (0.37), that keeps fewer units than drawing.
    """
    drawn = gumbel_noise(logits, generator) if noise else torch.zeros_like(logits)
    return torch.sigmoid((logits + drawn + offset) / temperature)


def straight_through(soft: Tensor) -> Tensor:
    """Hard decisions, exactly 0 or 1: kept from a half on; the gradient is that of `soft`."""
    hard = (soft >= 0.5).to(soft.dtype)
    return hard + (soft - soft.detach())  # the bracket is exactly 0
