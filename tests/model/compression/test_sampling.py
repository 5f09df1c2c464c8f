"""Decisions are drawn with the stated chances, and their gradient goes through."""

from __future__ import annotations

import math

import pytest
import torch

from model.compression.sampling import gumbel_noise, gumbel_sigmoid, straight_through


@pytest.mark.parametrize("logit", [-1.0, -2.0, -3.0, -4.0])
def test_a_unit_is_kept_with_the_chance_of_its_logit(logit: float) -> None:
    soft = gumbel_sigmoid(torch.full((40_000,), logit), torch.Generator().manual_seed(0))
    kept = straight_through(soft).mean().item()
    assert kept == pytest.approx(1 - math.exp(-math.exp(logit + 3)), abs=0.01)


def test_a_logit_of_zero_keeps_everything() -> None:
    soft = gumbel_sigmoid(torch.zeros(1_000_000), torch.Generator().manual_seed(0))
    assert straight_through(soft).min().item() == 1.0


def test_noise_is_standard_gumbel() -> None:
    noise = gumbel_noise(torch.zeros(200_000, dtype=torch.float64), torch.Generator().manual_seed(0))
    assert noise.mean().item() == pytest.approx(0.5772, abs=0.01)
    assert noise.std().item() == pytest.approx(math.pi / math.sqrt(6), abs=0.01)


def test_hard_decisions_have_the_gradient_of_the_soft_ones() -> None:
    logits = torch.tensor([-2.5, -3.5], requires_grad=True)
    soft = gumbel_sigmoid(logits, noise=False)
    hard = straight_through(soft)
    assert hard.tolist() == [1.0, 0.0]
    hard.sum().backward()  # type: ignore[no-untyped-call]
    kept = soft.detach()
    assert logits.grad is not None
    assert torch.allclose(logits.grad, kept * (1 - kept) / 0.4)
