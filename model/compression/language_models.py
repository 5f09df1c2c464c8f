"""Decoder-only models with removed units and with experts: cut, saved and loaded (ToMoE, Gao et al. 2025, 2501.15316).

A cut model is a class of its own for each family, known to the library once this file is imported: it is saved and
loaded by `save_pretrained` and `from_pretrained`, and no code stands in its folder. This needs the extra `compression`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from model.compression.language_model_blocks import CutAttention, CutFeedForward
from model.compression.language_model_structures import (
    CUT,
    LanguageBlock,
    language_blocks,
    language_structures,
    rotated_width,
)
from model.compression.structures import Structure
from model.errors import CheckpointError

try:
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        LlamaConfig,
        LlamaForCausalLM,
        PhiConfig,
        PhiForCausalLM,
        PreTrainedModel,
        Qwen2Config,
        Qwen2ForCausalLM,
    )
except ImportError as error:
    raise ImportError("decoder-only models need transformers: install rpt-service[compression]") from error


def _build(network: PreTrainedModel) -> None:
    """Exchange attention and feed-forward of every layer for those of the config's sizes."""
    config = network.config
    for layer, block in zip(network.get_submodule("model.layers").children(), language_blocks(config), strict=True):
        layer.add_module("self_attn", CutAttention(layer.get_submodule("self_attn"), block, config))
        layer.add_module("mlp", CutFeedForward(layer.get_submodule("mlp"), block, config))


class CutLlamaConfig(LlamaConfig):
    """LLaMA's config with the sizes of each block."""

    model_type = f"{CUT}llama"
    blocks: list[dict[str, Any]] | None = None


class CutQwen2Config(Qwen2Config):
    """Qwen2's config with the sizes of each block."""

    model_type = f"{CUT}qwen2"
    blocks: list[dict[str, Any]] | None = None


class CutPhiConfig(PhiConfig):
    """Phi's config with the sizes of each block."""

    model_type = f"{CUT}phi"
    blocks: list[dict[str, Any]] | None = None


class CutLlamaForCausalLM(LlamaForCausalLM):
    """LLaMA with blocks of the sizes that its config names."""

    config_class = CutLlamaConfig

    def __init__(self, config: CutLlamaConfig) -> None:
        super().__init__(config)
        _build(self)


class CutQwen2ForCausalLM(Qwen2ForCausalLM):
    """Qwen2 with blocks of the sizes that its config names."""

    config_class = CutQwen2Config

    def __init__(self, config: CutQwen2Config) -> None:
        super().__init__(config)
        _build(self)


class CutPhiForCausalLM(PhiForCausalLM):
    """Phi with blocks of the sizes that its config names."""

    config_class = CutPhiConfig

    def __init__(self, config: CutPhiConfig) -> None:
        super().__init__(config)
        _build(self)


_CLASSES: Mapping[str, tuple[type[Any], type[Any]]] = {
    "llama": (CutLlamaConfig, CutLlamaForCausalLM),
    "qwen2": (CutQwen2Config, CutQwen2ForCausalLM),
    "phi": (CutPhiConfig, CutPhiForCausalLM),
}
for _config_class, _model_class in _CLASSES.values():
    AutoConfig.register(_config_class.model_type, _config_class)
    AutoModelForCausalLM.register(_config_class, _model_class)


def cut_language_model(
    model: PreTrainedModel, masks: Mapping[str, Tensor], routers: Mapping[str, Tensor] | None = None
) -> PreTrainedModel:
    """A model without the units that nobody uses, in float type and mode of the dense one.

    Args:
        model: a dense one, which stays as it is.
        masks: by structure, bool: (experts, units) of a feed-forward block, (1, units) or (units,) elsewhere; a
            feed-forward block of one expert is cut like the rest. Structures without a mask keep all.
        routers: by feed-forward block, (experts, width).

    Raises:
        ValueError: the model cannot be cut, a mask is empty, or a block of several experts has no router.
    """
    structures = language_structures(model.config)
    whole = {one.name: _rows(masks, one) for one in structures}
    for name, mask in whole.items():
        if not bool(mask.any(1).all()):
            raise ValueError(f"a mask of {name} keeps nothing")
    kind = str(model.config.model_type)
    config_class, model_class = _CLASSES[kind]
    settings = {name: value for name, value in model.config.to_dict().items() if name != "model_type"}
    blocks = [
        asdict(_block(f"model.layers.{number}", block, whole))
        for number, block in enumerate(language_blocks(model.config))
    ]
    network: PreTrainedModel = model_class(config_class(**settings, blocks=blocks))
    network.config._attn_implementation = model.config._attn_implementation
    weights = _cut_weights(model, structures, whole)
    for layer in range(len(blocks)):
        name = f"model.layers.{layer}"
        pairs = whole[f"{name}.self_attn.query_key"].any(0).nonzero().squeeze(1)
        half = rotated_width(model.config) // 2
        weights[f"{name}.self_attn.rotated"] = torch.cat([pairs, pairs + half]).int()
        experts = whole[f"{name}.mlp"]
        if len(experts) > 1:
            if routers is None or f"{name}.mlp" not in routers:
                raise ValueError(f"{name}.mlp has {len(experts)} experts and no router")
            weights[f"{name}.mlp.router"] = routers[f"{name}.mlp"].detach()
            weights[f"{name}.mlp.members"] = torch.cat(
                [row[experts.any(0)].nonzero().squeeze(1) for row in experts]
            ).int()
    nn.Module.to(network, next(model.parameters()).dtype).load_state_dict(weights, strict=True)
    network.train(model.training).requires_grad_(False)
    return network


def _rows(masks: Mapping[str, Tensor], structure: Structure) -> Tensor:
    """The mask of a structure with a row for each expert, bool."""
    mask = masks.get(structure.name)
    return (
        torch.ones(1, structure.units, dtype=torch.bool) if mask is None else mask.bool().reshape(-1, structure.units)
    )


def _block(layer: str, dense: LanguageBlock, masks: Mapping[str, Tensor]) -> LanguageBlock:
    kept = {name: int(mask.any(0).sum()) for name, mask in masks.items() if name.startswith(f"{layer}.")}
    experts = masks[f"{layer}.mlp"].sum(1).tolist()
    return LanguageBlock(
        kept[f"{layer}.self_attn.query_key"],
        kept.get(f"{layer}.self_attn.passed", 0),
        kept[f"{layer}.self_attn.value"],
        kept[f"{layer}.mlp"],
        tuple(experts) if len(experts) > 1 else (),
    )


def _cut_weights(
    model: PreTrainedModel, structures: Sequence[Structure], masks: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The dense state without the rows and columns of units that no expert has."""
    weights = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    kept: dict[tuple[str, bool], Tensor] = {}
    for structure in structures:
        union = masks[structure.name].any(0)
        for side in structure.sides:
            place = (side.module, side.rows)
            kept[place] = kept[place] & side.expand(union) if place in kept else side.expand(union)
    for (module, rows), mask in kept.items():
        name = f"{module}.weight"
        weights[name] = weights[name][mask] if rows else weights[name][:, mask]
        if rows and f"{module}.bias" in weights:
            weights[f"{module}.bias"] = weights[f"{module}.bias"][mask]
    return weights


def load_language_model(folder: str | Path) -> PreTrainedModel:
    """A model that `save_pretrained` wrote, cut or not, for inference; no code of the folder is run.

    Raises:
        CheckpointError: a weight is missing, too many, or of another size.
    """
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, output_loading_info=True
    )
    network, told = loaded
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if told[what]:
            raise CheckpointError(f"weights of {Path(folder).name!r} do not fit: {what.replace('_', ' ')} {told[what]}")
    model: PreTrainedModel = network
    return model
