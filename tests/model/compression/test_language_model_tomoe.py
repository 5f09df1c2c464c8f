"""ToMoE of decoder-only models learns what it should, by its losses and on planted units."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

pytest.importorskip("transformers", reason="decoder-only models need the extra 'compression'")

from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel  # noqa: E402

from model.compression.expert_training import ToMoEConfig, active_parameters, fit_budget  # noqa: E402
from model.compression.language_model_experiment import (  # noqa: E402
    Judgement,
    judge,
    magnitude_scores,
    static_masks,
    uniform_scores,
)
from model.compression.language_model_structures import language_structures  # noqa: E402
from model.compression.language_model_tomoe import LanguageToMoE, TokenBatch  # noqa: E402
from model.compression.structures import linear, prunable_parameters  # noqa: E402

USELESS = tuple(range(0, 48, 2))
MLPS = ("model.layers.0.mlp", "model.layers.1.mlp")


@pytest.fixture
def model() -> PreTrainedModel:
    """Two layers; every other hidden unit of both feed-forward blocks leads nowhere."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        initializer_range=0.3, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    for name in MLPS:
        with torch.no_grad():
            linear(model, f"{name}.down_proj").weight[:, list(USELESS)] = 0
    model.train(False).requires_grad_(False)
    return model


def batches(count: int, seed: int = 0) -> Iterator[TokenBatch]:
    """Random tokens; the last text of each batch is padded behind."""
    rng = torch.Generator().manual_seed(seed)
    for _ in range(count):
        ids = torch.randint(1, 40, (4, 10), generator=rng)
        ids[-1, 6:] = 0
        yield TokenBatch(ids, ids != 0)


def test_training_starts_from_the_dense_model(model: PreTrainedModel) -> None:
    losses = LanguageToMoE(model, ToMoEConfig(active=0.5, experts=4)).losses(next(batches(1)))
    assert losses["divergence"].item() == pytest.approx(0, abs=1e-6)
    assert losses["budget"].item() == pytest.approx(math.log(1.001 / 0.501), abs=1e-6)
    assert losses["union"].item() == 0


def test_gradients_reach_the_generator_and_every_router(model: PreTrainedModel) -> None:
    trained = LanguageToMoE(model, ToMoEConfig(active=0.5, experts=4))
    with torch.no_grad():
        for decoder in trained.generator.decoders:
            linear_weight = decoder.weight
            assert isinstance(linear_weight, Tensor)
            linear_weight.mul_(20)  # so that some units are off
    losses = trained.losses(next(batches(1)))
    assert losses["divergence"].item() > 0.01
    losses["divergence"].backward()  # type: ignore[no-untyped-call]
    for router in trained.gates.routers().values():
        assert router.grad is not None and router.grad.abs().max() > 0
    for name, parameter in trained.generator.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
    assert all(parameter.grad is None for parameter in trained.dense.parameters())


def test_routing_leaves_padding_out(model: PreTrainedModel) -> None:
    trained = LanguageToMoE(model, ToMoEConfig(experts=4))
    batch = next(batches(1))
    trained.losses(batch)
    for routing in trained.gates.routing(batch.keep).values():
        assert routing.chosen.shape == routing.probabilities.shape == (36, 4)
        assert routing.chosen.sum(1).tolist() == [1.0] * 36


def test_planted_useless_units_go_first(model: PreTrainedModel) -> None:
    config = ToMoEConfig(
        active=0.7, experts=2, learning_rate=2e-2, divergence_weight=8.0, budget_weight=1.0, union_weight=0.0
    )
    trained = LanguageToMoE(model, config)
    trained.train(batches(60))
    masks = trained.decide()
    kept_useless = sum(int(masks[name][:, list(USELESS)].sum()) for name in MLPS)
    kept_useful = sum(int(masks[name][:, 1::2].sum()) for name in MLPS)
    assert kept_useful > 3 * kept_useless
    share = float(trained.active_share(masks))
    assert 0.68 < share <= 0.7


def test_a_decision_is_the_same_twice_and_its_cut_says_what_the_masks_say(model: PreTrainedModel) -> None:
    trained = LanguageToMoE(model, ToMoEConfig(active=0.6, experts=2, learning_rate=3e-2))
    trained.train(batches(3))
    first, second = trained.decide(), trained.decide()
    assert all(torch.equal(first[name], second[name]) for name in first)
    batch = next(batches(1, seed=9))
    with trained.gates.obeying(first), torch.no_grad():
        masked = trained.gates.log_probabilities(batch.ids, batch.keep)
    cut = trained.cut(first)
    with torch.no_grad():
        logits = cut(input_ids=batch.ids, attention_mask=batch.keep.long()).logits[batch.keep]
    assert (logits.log_softmax(-1) - masked).abs().max() < 1e-5 * masked.abs().max()


def test_the_divergence_of_all_units_is_zero_and_of_fewer_more(model: PreTrainedModel) -> None:
    trained = LanguageToMoE(model, ToMoEConfig(experts=1))
    held = list(batches(2))
    assert trained.divergence(held, {}) == pytest.approx(0, abs=1e-6)
    useful = {MLPS[0]: torch.arange(48)[None] % 2 == 1}
    assert trained.divergence(held, useful) == pytest.approx(0, abs=1e-6)
    useless = {MLPS[0]: torch.arange(48)[None] % 2 == 0}
    assert trained.divergence(held, useless) > 0.01


def test_a_budget_takes_the_highest_scores_that_fit() -> None:
    scores = {"a": torch.tensor([[0.9, 0.1, 0.5]]), "b": torch.tensor([[0.8, 0.2], [0.3, 0.7]])}

    def at_most(limit: int) -> dict[str, list[list[bool]]]:
        masks = fit_budget(scores, lambda found: sum(int(mask.sum()) for mask in found.values()) <= limit)
        return {name: mask.tolist() for name, mask in masks.items()}

    assert at_most(4) == {"a": [[True, False, True]], "b": [[True, False], [False, True]]}
    assert at_most(7) == {"a": [[True, True, True]], "b": [[True, True], [True, True]]}
    assert at_most(0) == {"a": [[True, False, False]], "b": [[True, False], [False, True]]}


def test_static_masks_keep_the_same_share_of_every_structure(model: PreTrainedModel) -> None:
    structures = language_structures(model.config)
    masks = static_masks(magnitude_scores(model, structures), structures, 0.5)
    assert {name: round(float(mask.float().mean()), 2) for name, mask in masks.items()} == dict.fromkeys(masks, 0.5)
    assert float(active_parameters(structures, masks)) / prunable_parameters(structures) == 0.5
    assert uniform_scores({"a": torch.tensor([[3.0, 1.0, 2.0]])})["a"].tolist() == [
        [1.0, pytest.approx(1 / 3), pytest.approx(2 / 3)]
    ]


def test_magnitude_is_the_norm_over_all_places_of_a_unit(model: PreTrainedModel) -> None:
    structures = language_structures(model.config)
    scores = magnitude_scores(model, structures)
    name = "model.layers.0.self_attn.query_key"
    rows = [2, 6, 10, 14]  # of 2 heads of 8 dimensions, pair 2 is dimensions 2 and 6
    squares = sum(
        linear(model, f"model.layers.0.self_attn.{one}").weight[rows].square().sum() for one in ("q_proj", "k_proj")
    )
    assert isinstance(squares, Tensor)
    assert scores[name][0, 2].item() == pytest.approx(squares.sqrt().item(), rel=1e-5)
    gate, up, down = (linear(model, f"{MLPS[1]}.{one}").weight for one in ("gate_proj", "up_proj", "down_proj"))
    expected = (gate[7].square().sum() + up[7].square().sum() + down[:, 7].square().sum()).sqrt()
    assert scores[MLPS[1]][0, 7].item() == pytest.approx(expected.item(), rel=1e-5)


def test_perplexity_is_of_all_tokens_together(model: PreTrainedModel) -> None:
    judged = Judgement(np.array([2.0, 4.0]), np.array([1, 3]))
    assert judged.perplexity() == pytest.approx(math.exp(6 / 4))
    low, high = judged.interval()
    assert low == pytest.approx(math.exp(4 / 3)) and high == pytest.approx(math.exp(2))
    with torch.no_grad():
        linear(model, "lm_head").weight.zero_()
    found = judge(model, list(batches(1)))
    assert found.counts.tolist() == [9, 9, 9, 5]
    assert found.perplexity() == pytest.approx(40, rel=1e-4)
