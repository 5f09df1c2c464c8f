"""Decoder-only models: a cut model is the masked one, counts are those of its tensors, and files bring it back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

pytest.importorskip("transformers", reason="decoder-only models need the extra 'compression'")

from transformers import (  # noqa: E402
    AutoModelForCausalLM,
    BloomConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from model.compression.experts import Crossover  # noqa: E402
from model.compression.language_model_blocks import CutFeedForward  # noqa: E402
from model.compression.language_model_gates import GatedLanguageModel  # noqa: E402
from model.compression.language_model_structures import language_blocks, language_structures  # noqa: E402
from model.compression.language_models import (  # noqa: E402
    cut_language_model,
    load_language_model,
)
from model.compression.structures import Kind, linear, prunable_parameters  # noqa: E402
from model.errors import CheckpointError  # noqa: E402

# The library leaves a file of its own open.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

ROOT = Path(__file__).resolve().parents[3]
FAMILIES = ("llama", "qwen2", "phi")
EXPERTS = 3
SIZES: dict[str, Any] = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}


def make(family: str, dtype: torch.dtype = torch.float64) -> PreTrainedModel:
    """Two layers of width 32, spread wide; LLaMA and Qwen2 with grouped queries, all with biases where they can."""
    torch.manual_seed(0)
    ends: dict[str, Any] = {"bos_token_id": 1, "eos_token_id": 60, "pad_token_id": 0, "initializer_range": 0.2}
    model: PreTrainedModel
    if family == "llama":
        model = LlamaForCausalLM(
            LlamaConfig(**SIZES, **ends, num_key_value_heads=2, attention_bias=True, mlp_bias=True)
        )
    elif family == "qwen2":
        model = Qwen2ForCausalLM(Qwen2Config(**SIZES, **ends, num_key_value_heads=1, tie_word_embeddings=True))
    else:
        model = PhiForCausalLM(PhiConfig(**SIZES, **ends))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.3)
    torch.nn.Module.to(model, dtype)
    model.train(False).requires_grad_(False)
    return model


def draw_masks(model: PreTrainedModel, experts: int = EXPERTS) -> dict[str, Tensor]:
    """About six tenths of the units of every structure; a unit of a feed-forward block may be of no expert."""
    rng = torch.Generator().manual_seed(1)
    return {
        one.name: torch.rand(experts if one.kind is Kind.FEED_FORWARD else 1, one.units, generator=rng) < 0.6
        for one in language_structures(model.config)
    }


def ids(rows: int = 3, length: int = 12) -> tuple[Tensor, Tensor]:
    """Tokens, the last row padded behind; and where they are real."""
    tokens = torch.randint(1, 60, (rows, length), generator=torch.Generator().manual_seed(2))
    tokens[-1, length // 2 :] = 0
    return tokens, tokens != 0


def masked_and_cut(model: PreTrainedModel, masks: Mapping[str, Tensor], experts: int) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities of the masked, the cut and the dense model."""
    gates = GatedLanguageModel(model, experts, torch.Generator().manual_seed(3))
    tokens, keep = ids()
    dense = gates.log_probabilities(tokens, keep)
    with gates.obeying(masks), torch.no_grad():
        masked = gates.log_probabilities(tokens, keep)
    cut = cut_language_model(model, masks, gates.routers())
    with torch.no_grad():
        return masked, cut(input_ids=tokens, attention_mask=keep.long()).logits[keep].log_softmax(-1), dense


@pytest.mark.parametrize("experts", [1, EXPERTS], ids=["static", "experts"])
@pytest.mark.parametrize("family", FAMILIES)
def test_cut_equals_masked_in_float64(family: str, experts: int) -> None:
    model = make(family)
    masked, cut, dense = masked_and_cut(model, draw_masks(model, experts), experts)
    assert (masked - dense).abs().max() > 0.1
    assert (masked - cut).abs().max() < 1e-10


@pytest.mark.parametrize("experts", [1, EXPERTS], ids=["static", "experts"])
@pytest.mark.parametrize("family", FAMILIES)
def test_cut_equals_masked_in_float32(family: str, experts: int) -> None:
    model = make(family, torch.float32)
    masked, cut, _ = masked_and_cut(model, draw_masks(model, experts), experts)
    assert (masked - cut).abs().max() < 1e-5 * masked.abs().max()


@pytest.mark.parametrize(
    ("family", "structure"),
    [
        *((family, part) for family in FAMILIES for part in ("self_attn.query_key", "self_attn.value", "mlp")),
        ("phi", "self_attn.passed"),
    ],
)
def test_every_kind_of_unit_is_cut_as_it_is_masked(family: str, structure: str) -> None:
    model = make(family)
    name = f"model.layers.1.{structure}"
    masked, cut, dense = masked_and_cut(model, {name: draw_masks(model)[name]}, EXPERTS)
    assert (masked - dense).abs().max() > 1e-3
    assert (masked - cut).abs().max() < 1e-10


@pytest.mark.parametrize("family", FAMILIES)
def test_costs_of_the_units_are_the_numbers_of_the_prunable_maps(family: str) -> None:
    model = make(family)
    for network in (model, cut_language_model(model, draw_masks(model, 1))):
        structures = language_structures(network.config)
        modules = {side.module: side.rows for one in structures for side in one.sides}
        numbers = 0
        for name, rows in modules.items():
            module = linear(network, name)
            numbers += module.weight.numel() + (module.out_features if rows and module.bias is not None else 0)
        assert prunable_parameters(structures) == numbers


@pytest.mark.parametrize("family", FAMILIES)
def test_rotated_dimensions_stay_in_pairs_of_every_head(family: str) -> None:
    model = make(family)
    structure = language_structures(model.config)[0]
    rotated = 8 if family != "phi" else 4  # of the 8 dimensions of a head
    assert structure.units == rotated // 2
    mask = torch.zeros(structure.units, dtype=torch.bool)
    mask[1] = True
    heads = {"llama": 2, "qwen2": 1, "phi": 4}[family]
    kept = structure.sides[1].expand(mask).view(heads, 8)
    assert kept[:, :rotated].nonzero()[:, 1].tolist() == [1, 1 + rotated // 2] * heads
    assert bool(kept[:, rotated:].all())  # these belong to another structure
    cut = cut_language_model(model, {structure.name: mask})
    assert cut.get_buffer("model.layers.0.self_attn.rotated").tolist() == [1, 1 + rotated // 2]


@pytest.mark.parametrize("family", FAMILIES)
def test_union_is_stored_once_and_experts_as_lists(family: str) -> None:
    model = make(family)
    masks = draw_masks(model)
    name = "model.layers.0.mlp"
    masks[name][:, 5] = False
    gates = GatedLanguageModel(model, EXPERTS, torch.Generator().manual_seed(3))
    cut = cut_language_model(model, masks, gates.routers())
    union = masks[name].any(0).nonzero().squeeze(1)
    assert 5 not in union.tolist()
    outer = "fc2" if family == "phi" else "down_proj"
    assert torch.equal(linear(cut, f"{name}.{outer}").weight, linear(model, f"{name}.{outer}").weight[:, union])
    block = cut.get_submodule(name)
    assert isinstance(block, CutFeedForward)
    assert [union[units].tolist() for units in block.lists()] == [
        row.nonzero().squeeze(1).tolist() for row in masks[name]
    ]
    assert language_blocks(cut.config)[0].experts == tuple(masks[name].sum(1).tolist())


@pytest.mark.parametrize("experts", [1, EXPERTS], ids=["static", "experts"])
@pytest.mark.parametrize("family", FAMILIES)
def test_save_and_load_is_exact(family: str, experts: int, tmp_path: Path) -> None:
    model = make(family, torch.float32)
    gates = GatedLanguageModel(model, experts, torch.Generator().manual_seed(3))
    cut = cut_language_model(model, draw_masks(model, experts), gates.routers())
    cut.save_pretrained(tmp_path)
    loaded = load_language_model(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "config.json", "generation_config.json", "model.safetensors",
    ]  # fmt: skip
    assert "auto_map" not in json.loads((tmp_path / "config.json").read_text())
    state = cut.state_dict()
    assert state.keys() == loaded.state_dict().keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in loaded.state_dict().items())
    tokens, keep = ids()
    with torch.no_grad():
        first, second = (one(input_ids=tokens, attention_mask=keep.long()).logits for one in (cut, loaded))
    assert torch.equal(first, second)
    assert type(AutoModelForCausalLM.from_pretrained(tmp_path)) is type(cut)


def test_a_file_that_lacks_a_weight_is_refused(tmp_path: Path) -> None:
    model = make("llama", torch.float32)
    cut_language_model(model, draw_masks(model, 1)).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["model.layers.1.self_attn.rotated"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="missing keys.*rotated"):
        load_language_model(tmp_path)


@pytest.mark.parametrize("family", FAMILIES)
def test_cache_and_company_change_nothing(family: str) -> None:
    """Greedy answers with and without a cache, alone and in a batch."""
    model = make(family)
    gates = GatedLanguageModel(model, EXPERTS, torch.Generator().manual_seed(3))
    cut = cut_language_model(model, draw_masks(model), gates.routers())
    tokens, _ = ids(4, 6)
    tokens[-1] = tokens[0].flip(0).clamp(min=1)

    def answer(rows: Tensor, *, use_cache: bool) -> Tensor:
        written = cut.generate(
            input_ids=rows, attention_mask=torch.ones_like(rows), do_sample=False, max_new_tokens=8,
            use_cache=use_cache, eos_token_id=None,
        )  # fmt: skip
        assert isinstance(written, Tensor)
        return written

    together = answer(tokens, use_cache=True)
    assert together.shape == (4, 14)
    assert torch.equal(together, answer(tokens, use_cache=False))
    assert torch.equal(together, torch.cat([answer(row[None], use_cache=True) for row in tokens]))


@pytest.mark.parametrize("family", FAMILIES)
def test_both_ways_of_reading_experts_agree(family: str) -> None:
    model = make(family)
    gates = GatedLanguageModel(model, EXPERTS, torch.Generator().manual_seed(3))
    block = cut_language_model(model, draw_masks(model), gates.routers()).get_submodule("model.layers.0.mlp")
    assert isinstance(block, CutFeedForward)
    tokens = torch.randn(40, 32, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    expert = block.route(tokens)
    assert len(set(expert.tolist())) == EXPERTS
    packed, masked = block.read_packed(tokens, expert), block.read_masked(tokens, expert)
    assert (packed - masked).abs().max() < 1e-12
    for crossover in (Crossover(up_to=1000), Crossover(up_to=0, at_least=1000)):
        block.crossover = crossover
        with torch.no_grad():
            assert (block(tokens) - masked).abs().max() < 1e-12


def test_the_copies_follow_the_weights() -> None:
    model = make("llama")
    gates = GatedLanguageModel(model, EXPERTS, torch.Generator().manual_seed(3))
    block = cut_language_model(model, draw_masks(model), gates.routers()).get_submodule("model.layers.0.mlp")
    assert isinstance(block, CutFeedForward)
    tokens = torch.randn(5, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    before = block.read_packed(tokens, block.route(tokens))
    with torch.no_grad():
        linear(block, "down_proj").weight.mul_(2)
    after = block.read_packed(tokens, block.route(tokens))
    assert (after - block.read_masked(tokens, block.route(tokens))).abs().max() < 1e-12
    assert (after - before).abs().max() > 0.1


def test_what_cannot_be_cut_is_refused() -> None:
    phi = PhiForCausalLM(PhiConfig(**SIZES, qk_layernorm=True))
    with pytest.raises(ValueError, match="normalized"):
        language_structures(phi.config)
    with pytest.raises(ValueError, match="'bloom' cannot be cut"):
        language_structures(BloomConfig())
    model = make("llama")
    with pytest.raises(ValueError, match="no router"):
        cut_language_model(model, draw_masks(model))
    nothing = {language_structures(model.config)[0].name: torch.zeros(4, dtype=torch.bool)}
    with pytest.raises(ValueError, match="keeps nothing"):
        cut_language_model(model, nothing)


def test_a_sliding_window_stays() -> None:
    torch.manual_seed(0)
    config = Qwen2Config(
        **SIZES, num_key_value_heads=2, use_sliding_window=True, sliding_window=3, max_window_layers=0,
        initializer_range=0.2, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config)
    torch.nn.Module.to(model, torch.float64).train(False).requires_grad_(False)
    masked, cut, _ = masked_and_cut(model, draw_masks(model, 1), 1)
    assert (masked - cut).abs().max() < 1e-10
    tokens, _ = ids(1)
    other = tokens.clone()
    other[0, 0] += 1
    network = cut_language_model(model, draw_masks(model, 1))
    with torch.no_grad():  # two layers of a window of three see four tokens back
        first, second = (network(input_ids=one).logits for one in (tokens, other))
    assert torch.equal(first[:, 5:], second[:, 5:]) and not torch.equal(first[:, 4], second[:, 4])


def test_of_equal_routes_the_first_is_taken() -> None:
    model = make("llama")
    routers = {f"model.layers.{number}.mlp": torch.zeros(EXPERTS, 32) for number in range(2)}
    block = cut_language_model(model, draw_masks(model), routers).get_submodule("model.layers.0.mlp")
    assert isinstance(block, CutFeedForward)
    assert block.route(torch.randn(9, 32, dtype=torch.float64)).tolist() == [0] * 9


def test_without_the_library_the_message_names_the_extra() -> None:
    code = "import sys; sys.modules['transformers'] = None; import model.compression.language_models"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert finished.returncode == 1
    assert finished.stderr.strip().endswith(
        "ImportError: decoder-only models need transformers: install rpt-service[compression]"
    )
