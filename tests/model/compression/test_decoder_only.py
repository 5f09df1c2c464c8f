"""Cut language models compute what the masked ones did: rotary pairs, grouped queries, cache, save and load."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("transformers", reason="transformers is not installed: it belongs to the extra `compression`")

from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PhiConfig, Qwen2Config  # noqa: E402

from model.compression.decoder_only import (  # noqa: E402
    cut_decoder_only,
    decoder_only_structures,
    load_decoder_only,
    save_decoder_only,
)
from model.compression.structures import Kind, linear, prunable_parameters  # noqa: E402
from model.errors import CheckpointError, InputError  # noqa: E402

SHAPE: dict[str, Any] = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": None,
    "pad_token_id": 0,
}
CONFIGS = {
    "llama": LlamaConfig(**SHAPE),
    "qwen2": Qwen2Config(**SHAPE, tie_word_embeddings=True),
    "phi": PhiConfig(**SHAPE),
}


def make(family: str, dtype: torch.dtype = torch.float64) -> Any:
    """A random model; its own attention must not be the eager one, which takes its softmax in float32."""
    torch.manual_seed(1)
    models: Any = AutoModelForCausalLM
    network = models.from_config(copy.deepcopy(CONFIGS[family]), attn_implementation="sdpa")
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "norm" not in name:
                parameter.normal_(std=0.3)
    return network.to(dtype).eval().requires_grad_(False)


def some_masks(network: Any, seed: int = 0) -> dict[str, Tensor]:
    rng, masks = random.Random(seed), {}
    for structure in decoder_only_structures(network.config):
        kept = rng.sample(range(structure.units), max(1, round(0.6 * structure.units)))
        masks[structure.name] = torch.zeros(structure.units, dtype=torch.bool)
        masks[structure.name][kept] = True
    return masks


def zeroed(network: Any, masks: dict[str, Tensor]) -> Any:
    """The masked model: rows and columns of removed units are zero."""
    masked = copy.deepcopy(network)
    for structure in decoder_only_structures(network.config):
        for side in structure.sides:
            off = ~side.expand(masks[structure.name])
            module = linear(masked, side.module)
            if side.rows:
                module.weight[off] = 0
                if module.bias is not None:
                    module.bias[off] = 0
            else:
                module.weight[:, off] = 0
    return masked


def logits(network: Any, ids: Tensor, keep: Tensor | None = None) -> Tensor:
    found: Tensor = network(ids, attention_mask=keep).logits
    return found


IDS = torch.tensor([[5, 9, 33, 2, 17, 50, 8], [0, 0, 4, 4, 21, 7, 59]])
KEEP = (IDS != 0).long()


@pytest.mark.parametrize("family", CONFIGS)
def test_cut_equals_masked_in_float64(family: str) -> None:
    network = make(family)
    masks = some_masks(network)
    masked, cut = zeroed(network, masks), cut_decoder_only(network, masks)
    wanted, found = logits(masked, IDS, KEEP)[KEEP == 1], logits(cut, IDS, KEEP)[KEEP == 1]
    assert float((wanted - found).abs().max()) <= 1e-10
    assert float((wanted - logits(network, IDS, KEEP)[KEEP == 1]).abs().max()) > 0.1


@pytest.mark.parametrize("family", CONFIGS)
def test_cut_equals_masked_in_float32(family: str) -> None:
    network = make(family, torch.float32)
    masks = some_masks(network)
    wanted, found = logits(zeroed(network, masks), IDS), logits(cut_decoder_only(network, masks), IDS)
    assert float((wanted - found).abs().max()) <= 1e-5 * float(wanted.abs().max())


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_of_unit_by_itself(family: str, kind: Kind) -> None:
    network = make(family)
    masks = some_masks(network, 3)
    for structure in decoder_only_structures(network.config):
        if structure.kind is not kind:
            masks[structure.name][:] = True
    wanted, found = logits(zeroed(network, masks), IDS), logits(cut_decoder_only(network, masks), IDS)
    assert float((wanted - found).abs().max()) <= 1e-10


@pytest.mark.parametrize("family", CONFIGS)
def test_generation_with_a_cache_is_that_of_the_masked_model(family: str) -> None:
    network = make(family)
    masks = some_masks(network)
    options: dict[str, Any] = {"max_new_tokens": 8, "do_sample": False, "attention_mask": KEEP}
    wanted = zeroed(network, masks).generate(IDS, **options, use_cache=True)
    cut: Any = cut_decoder_only(network, masks)
    assert wanted.shape == (2, 15)
    assert torch.equal(cut.generate(IDS, **options, use_cache=True), wanted)
    assert torch.equal(cut.generate(IDS, **options, use_cache=False), wanted)


@pytest.mark.parametrize("family", CONFIGS)
def test_rotated_pairs_stay_together_in_every_head(family: str) -> None:
    config = CONFIGS[family]
    structure = decoder_only_structures(config)[0]
    turned = 8 if family != "phi" else 4  # of the 8 dimensions of a head
    assert structure.units == turned // 2
    mask = torch.zeros(structure.units, dtype=torch.bool)
    mask[1] = True
    for side, heads in zip(structure.sides, (4, 2), strict=True):
        for head in side.expand(mask).view(heads, 8):
            assert head[:turned].nonzero().squeeze(1).tolist() == [1, 1 + turned // 2]
            assert int(head.sum()) == 8 // structure.units


@pytest.mark.parametrize("family", CONFIGS)
def test_counts_are_those_of_the_tensors(family: str) -> None:
    network = make(family)
    structures, masks = decoder_only_structures(network.config), some_masks(network)
    cut = cut_decoder_only(network, masks)
    removed = sum((one.units - int(masks[one.name].sum())) * one.unit_parameters for one in structures)
    assert _numbers(network) - _numbers(cut) == removed > 0.3 * prunable_parameters(structures)


def _numbers(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("family", CONFIGS)
def test_save_and_load_is_exact_and_strict(family: str, tmp_path: Path) -> None:
    network = make(family, torch.float32)
    cut = cut_decoder_only(network, some_masks(network))
    save_decoder_only(tmp_path / "cut", cut)
    assert {path.name for path in (tmp_path / "cut").iterdir()} == {"config.json", "model.safetensors"}
    loaded = load_decoder_only(tmp_path / "cut")
    state = loaded.state_dict()
    assert state.keys() == cut.state_dict().keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in cut.state_dict().items())
    assert torch.equal(logits(loaded, IDS, KEEP), logits(cut, IDS, KEEP))
    other = cut_decoder_only(network, some_masks(network, 9) | {"model.layers.0.mlp": torch.ones(24).bool()})
    save_decoder_only(tmp_path / "other", other)
    (tmp_path / "cut" / "config.json").write_bytes((tmp_path / "other" / "config.json").read_bytes())
    with pytest.raises(CheckpointError, match="size mismatch"):
        load_decoder_only(tmp_path / "cut")


def test_other_models_are_refused() -> None:
    with pytest.raises(InputError, match="'gpt2' cannot be cut"):
        decoder_only_structures(GPT2Config())
    with pytest.raises(InputError, match="norms of queries"):
        decoder_only_structures(PhiConfig(**SHAPE, qk_layernorm=True))
