"""What ToMoE minimizes beside the distance to the dense model (Gao et al. 2025, arXiv 2501.15316, section 3).

The parameter loss holds the active share at the budget, the union loss makes the experts cover all channels together,
and the balance loss keeps every expert in use. All take plain tensors and give one number, float32.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SHIFT = 0.001
"""Added to both shares, so that the logarithm of a share of nothing is finite."""


def share_distance(share: Tensor, target: float) -> Tensor:
    """R = log(max / min) of a share and its target, each shifted: 0 where they agree, the same in both directions."""
    return ((share + SHIFT) / (target + SHIFT)).log().abs()


def union_share(masks: Tensor) -> Tensor:
    """Share of the channels that some expert has; `masks` (experts, channels) of 0 and 1, or softer."""
    return (1 - (1 - masks).prod(0)).mean()


def union_loss(masks: Tensor) -> Tensor:
    """R of the union against 1: channels that no expert uses cost."""
    return share_distance(union_share(masks), 1.0)


def balance_loss(chosen: Tensor, probabilities: Tensor) -> Tensor:
    """N * sum of f_e * P_e over the experts (Switch Transformer, Fedus et al. 2021): 1 where routing is uniform.

    Args:
        chosen: one-hot choice of each real token, (tokens, experts); padding must not be among them.
        probabilities: the router's probabilities of each, (tokens, experts).
    """
    shares = chosen.detach().mean(0)
    return chosen.shape[1] * (shares * probabilities.mean(0)).sum()


def divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """KL(teacher || student), the mean over rows; both are log-probabilities, (positions, classes) float32."""
    return (teacher.exp() * (teacher - student)).sum(-1).mean()


def binary_divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """KL between the Bernoulli distributions of two logits, the mean over them, (cells,) float32."""
    both = [torch.stack([logits, -logits], -1) for logits in (teacher, student)]
    return divergence(*(F.logsigmoid(logits) for logits in both))


def pairwise_jaccard(masks: Tensor) -> Tensor:
    """Overlap of every two experts, |both| / |either|, (pairs,) float32; no pair where there is one expert."""
    masks = masks.float()
    both = masks @ masks.T
    sizes = masks.sum(1)
    either = (sizes[:, None] + sizes[None, :] - both).clamp(min=1)
    first, second = torch.triu_indices(len(masks), len(masks), 1)
    return (both / either)[first, second]


def routing_entropy(probabilities: Tensor) -> Tensor:
    """Mean entropy of the router's choice in bits, from (tokens, experts): log2 of the experts where it is idle."""
    entropy: Tensor = torch.special.entr(probabilities).sum(-1).mean()
    return entropy / math.log(2)
