"""The losses of ToMoE on numbers that can be worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from model.compression.expert_losses import (
    balance_loss,
    binary_divergence,
    divergence,
    pairwise_jaccard,
    routing_entropy,
    share_distance,
    union_loss,
    union_share,
)


def test_distance_of_shares_is_symmetric_and_zero_where_they_agree() -> None:
    assert float(share_distance(torch.tensor(0.5), 0.5)) == 0.0
    assert float(share_distance(torch.tensor(0.8), 0.4)) == pytest.approx(math.log(0.801 / 0.401), abs=1e-6)
    assert float(share_distance(torch.tensor(0.4), 0.8)) == pytest.approx(math.log(0.801 / 0.401), abs=1e-6)
    assert float(share_distance(torch.tensor(0.0), 0.5)) == pytest.approx(math.log(0.501 / 0.001), abs=1e-5)


def test_distance_pulls_the_share_towards_its_target() -> None:
    for share, sign in ((0.8, 1.0), (0.3, -1.0)):
        value = torch.tensor(share, requires_grad=True)
        share_distance(value, 0.5).backward()  # type: ignore[no-untyped-call]
        assert value.grad is not None
        assert float(value.grad) * sign == pytest.approx(1 / (share + 0.001), abs=1e-4)


def test_union_is_what_any_expert_has() -> None:
    masks = torch.tensor([[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 1.0, 0.0]])
    assert float(union_share(masks)) == 0.75
    assert float(union_loss(masks)) == pytest.approx(math.log(1.001 / 0.751), abs=1e-6)
    assert float(union_loss(torch.ones(3, 5))) == 0.0
    assert float(union_share(torch.tensor([[0.5, 0.0], [0.5, 0.0]]))) == 0.375  # (1 - 1/4) / 2


def test_balance_is_one_for_uniform_routing_and_the_number_of_experts_for_one_that_does_all() -> None:
    uniform = torch.eye(4).repeat(3, 1)
    assert float(balance_loss(uniform, torch.full((12, 4), 0.25))) == pytest.approx(1.0)
    alone = torch.tensor([[1.0, 0.0, 0.0, 0.0]]).expand(5, 4)
    assert float(balance_loss(alone, alone)) == pytest.approx(4.0)


def test_balance_takes_shares_over_all_tokens() -> None:
    chosen = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    probabilities = torch.tensor([[0.9, 0.1], [0.7, 0.3], [0.6, 0.4], [0.2, 0.8]], requires_grad=True)
    loss = balance_loss(chosen, probabilities)
    assert float(loss.detach()) == pytest.approx(2 * (0.75 * 0.6 + 0.25 * 0.4))
    loss.backward()  # type: ignore[no-untyped-call]
    assert probabilities.grad is not None  # each probability of expert e costs N * f_e / tokens
    assert torch.allclose(probabilities.grad, torch.tensor([[0.375, 0.125]]).expand(4, 2))


def test_divergence_is_forward_kl() -> None:
    teacher, student = torch.tensor([[0.5, 0.5], [1.0, 0.0]]), torch.tensor([[0.25, 0.75], [0.5, 0.5]])
    first = 0.5 * math.log(2) + 0.5 * math.log(0.5 / 0.75)
    value = divergence(teacher.clamp_min(1e-30).log(), student.log())
    assert float(value) == pytest.approx((first + math.log(2)) / 2, abs=1e-6)
    assert float(divergence(student.log(), student.log())) == 0.0


def test_divergence_of_logits_is_that_of_their_two_outcomes() -> None:
    def logit(probability: float) -> torch.Tensor:
        return torch.tensor([math.log(probability / (1 - probability))])

    expected = 0.8 * math.log(0.8 / 0.4) + 0.2 * math.log(0.2 / 0.6)
    assert float(binary_divergence(logit(0.8), logit(0.4))) == pytest.approx(expected, abs=1e-6)


def test_overlap_of_experts() -> None:
    masks = torch.tensor([[1, 1, 0, 0], [1, 1, 0, 0], [0, 1, 1, 1]]).bool()
    assert pairwise_jaccard(masks).tolist() == [1.0, 0.25, 0.25]
    assert pairwise_jaccard(masks[:1]).tolist() == []


def test_entropy_is_three_bits_where_eight_experts_are_alike_and_none_where_one_is_sure() -> None:
    assert float(routing_entropy(torch.full((2, 8), 0.125))) == pytest.approx(3.0, abs=1e-6)
    assert float(routing_entropy(torch.eye(8))) == 0.0
