"""Decoder-only models with removed units and with experts: LLaMA, Qwen2 and Phi, as the transformers library has them.

The prunable units are described as those of the denoiser are (`model.compression.structures`). A unit of queries and
keys is a *pair* of dimensions where they are rotated by their position (Su et al. 2021, arXiv 2104.09864), half a head
apart, so that a pair stays or goes together; Phi rotates only a part of a head, and its other dimensions go one by one.
Grouped queries share the keys and values of their group, so a unit is the same dimension of all heads.

A cut model is a class of its own for each family, known to the library once this file is imported: it is saved and
loaded by `save_pretrained` and `from_pretrained`, and no code stands in its folder. This needs the extra `compression`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.compression.experts import Crossover
from model.compression.structures import Kind, Side, Structure, linear
from model.errors import CheckpointError

try:
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        LlamaConfig,
        LlamaForCausalLM,
        PhiConfig,
        PhiForCausalLM,
        PreTrainedConfig,
        PreTrainedModel,
        Qwen2Config,
        Qwen2ForCausalLM,
    )
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb, eager_attention_forward
except ImportError as error:
    raise ImportError("decoder-only models need transformers: install rpt-service[compression]") from error


@dataclass(frozen=True, slots=True)
class Family:
    """How one family of models names the linear maps of a block.

    Attributes:
        out: of attention, the map back to the width.
        inputs: of the feed-forward block, the maps to the hidden width: the activation is on the first, and its result
            is multiplied by what the second gives, where there is one.
        outer: of the feed-forward block, the map back.
    """

    out: str
    inputs: tuple[str, ...]
    outer: str


_GATED = Family("o_proj", ("gate_proj", "up_proj"), "down_proj")
FAMILIES: Mapping[str, Family] = {
    "llama": _GATED,
    "qwen2": _GATED,
    "phi": Family("dense", ("fc1",), "fc2"),
}
"""By the library's name of the model type."""

_CUT = "rpt_"
"""What the name of a family's cut model begins with."""


def family_of(config: PreTrainedConfig) -> Family:
    """The family of a model, cut or not.

    Raises:
        ValueError: it is of none, or normalizes single queries and keys, so that their dimensions hang together.
    """
    family = FAMILIES.get(str(config.model_type).removeprefix(_CUT))
    if family is None:
        raise ValueError(f"models of type {config.model_type!r} cannot be cut; of types {', '.join(FAMILIES)} they can")
    if getattr(config, "qk_layernorm", False):
        raise ValueError("queries and keys that are normalized cannot lose dimensions")
    return family


@dataclass(frozen=True, slots=True)
class LanguageBlock:
    """Sizes inside one block.

    Attributes:
        rotated: pairs of dimensions of a head's queries and keys that are rotated by the position.
        passed: their dimensions that are not.
        value: dimensions of a head's values.
        feed_forward: hidden width of the feed-forward block; with experts that of their union.
        experts: how many hidden units each expert has; empty where there are none.
    """

    rotated: int
    passed: int
    value: int
    feed_forward: int
    experts: tuple[int, ...] = ()


def head_width(config: PreTrainedConfig) -> int:
    """Dimensions of a head of the model before it was cut."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def rotated_width(config: PreTrainedConfig) -> int:
    """How many dimensions of a head are rotated, before it was cut."""
    return int(head_width(config) * config.rope_parameters.get("partial_rotary_factor", 1.0))


def language_blocks(config: PreTrainedConfig) -> tuple[LanguageBlock, ...]:
    """Sizes of every block of a model, cut or not."""
    told: Sequence[Mapping[str, Any]] = getattr(config, "blocks", None) or ()
    if told:
        return tuple(LanguageBlock(**{**one, "experts": tuple(one["experts"])}) for one in told)
    head, rotated = head_width(config), rotated_width(config)
    dense = LanguageBlock(rotated // 2, head - rotated, head, config.intermediate_size)
    return (dense,) * int(config.num_hidden_layers)


@dataclass(frozen=True, slots=True)
class HeadSide(Side):
    """Units that are some dimensions of every head; `copies` is the number of heads.

    Attributes:
        head: dimensions of a head.
        first: the first dimension that belongs to a unit.
        halves: 2 where a unit is a pair of dimensions, half the rotated part apart; else 1.
    """

    head: int = 0
    first: int = 0
    halves: int = 1

    def expand(self, mask: Tensor) -> Tensor:
        """A mask of units as a mask of rows or columns, (heads * head,): 1 where there are other structures' units."""
        units = mask.repeat(self.halves)
        after = self.head - self.first - len(units)
        return torch.cat([mask.new_ones(self.first), units, mask.new_ones(after)]).repeat(self.copies)


def language_structures(config: PreTrainedConfig) -> tuple[Structure, ...]:
    """The prunable units of a model, cut or not, in the order of its layers.

    Raises:
        ValueError: it cannot be cut.
    """
    family = family_of(config)
    structures: list[Structure] = []
    for number, block in enumerate(language_blocks(config)):
        layer = f"model.layers.{number}"
        structures += _attention_structures(layer, block, family, config)
        module, width = f"{layer}.mlp", int(config.hidden_size)
        sides = [Side(f"{module}.{name}", True) for name in family.inputs]
        cost = len(family.inputs) * (width + _biased(config, "mlp")) + width
        structures.append(
            Structure(
                module,
                layer,
                Kind.FEED_FORWARD,
                block.feed_forward,
                (*sides, Side(f"{module}.{family.outer}", False)),
                cost,
            )
        )
    return tuple(structures)


def _attention_structures(
    layer: str, block: LanguageBlock, family: Family, config: PreTrainedConfig
) -> list[Structure]:
    module, width = f"{layer}.self_attn", int(config.hidden_size)
    heads, groups = int(config.num_attention_heads), int(config.num_key_value_heads)
    row = width + _biased(config, "attention")
    compared = 2 * block.rotated + block.passed

    def queries_and_keys(first: int, halves: int) -> tuple[Side, ...]:
        maps = (("q_proj", heads), ("k_proj", groups))
        return tuple(HeadSide(f"{module}.{name}", True, copies, compared, first, halves) for name, copies in maps)

    cost = (heads + groups) * row
    structures = [
        Structure(f"{module}.query_key", layer, Kind.QUERY_KEY, block.rotated, queries_and_keys(0, 2), 2 * cost)
    ]
    if block.passed:
        sides = queries_and_keys(2 * block.rotated, 1)
        structures.append(Structure(f"{module}.passed", layer, Kind.QUERY_KEY, block.passed, sides, cost))
    carried = (Side(f"{module}.v_proj", True, groups), Side(f"{module}.{family.out}", False, heads))
    cost = groups * row + heads * width
    return [*structures, Structure(f"{module}.value", layer, Kind.VALUE, block.value, carried, cost)]


def _biased(config: PreTrainedConfig, part: str) -> int:
    """1 where the maps from the width have biases."""
    kind = str(config.model_type).removeprefix(_CUT)
    fixed = {"qwen2": {"attention": True, "mlp": False}, "phi": {"attention": True, "mlp": True}}
    return int(fixed[kind][part] if kind in fixed else getattr(config, f"{part}_bias"))


class CutAttention(nn.Module):
    """Causal attention whose queries and keys are as wide as is left of them, and values of a width of their own.

    Scores are scaled as they were before the cut. The state holds the linear maps under their family's names and
    `rotated`: which of the rotation's dimensions are left, int32 (2 * pairs,).

    Args:
        dense: the attention that it stands for, whose settings it takes over.
    """

    def __init__(self, dense: nn.Module, block: LanguageBlock, config: PreTrainedConfig) -> None:
        super().__init__()
        width, biased = int(config.hidden_size), bool(_biased(config, "attention"))
        heads, groups = int(config.num_attention_heads), int(config.num_key_value_heads)
        self.config, self.layer_idx = config, dense.layer_idx
        self.scaling, self.attention_dropout = dense.scaling, dense.attention_dropout
        self.sliding_window = getattr(dense, "sliding_window", None)
        self.num_key_value_groups, self.is_causal = heads // groups, True
        self.compared, self.value = 2 * block.rotated + block.passed, block.value
        self.q_proj = nn.Linear(width, heads * self.compared, bias=biased)
        self.k_proj = nn.Linear(width, groups * self.compared, bias=biased)
        self.v_proj = nn.Linear(width, groups * self.value, bias=biased)
        self.out = family_of(config).out
        self.add_module(self.out, nn.Linear(heads * self.value, width, bias=getattr(dense, self.out).bias is not None))
        self.register_buffer("rotated", torch.zeros(2 * block.rotated, dtype=torch.int32))

    def forward(
        self,
        hidden_states: Tensor,
        position_embeddings: tuple[Tensor, Tensor],
        attention_mask: Tensor | None = None,
        cache: Any = None,
        **settings: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """As the library calls it: `hidden_states` (batch, length, width); gives the same shape, and the weights."""
        shape = hidden_states.shape[:-1]
        queries, keys = (
            one(hidden_states).view(*shape, -1, self.compared).transpose(1, 2) for one in (self.q_proj, self.k_proj)
        )
        values = self.v_proj(hidden_states).view(*shape, -1, self.value).transpose(1, 2)
        queries, keys = self._rotate(queries, keys, position_embeddings)
        if cache is not None:
            keys, values = cache.update(keys, values, self.layer_idx)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        mixed, weights = attend(
            self,
            queries,
            keys,
            values,
            attention_mask,
            dropout=self.attention_dropout if self.training else 0.0,
            scaling=self.scaling,
            sliding_window=self.sliding_window,
            **settings,
        )
        merged: Tensor = self.get_submodule(self.out)(mixed.reshape(*shape, -1))
        return merged, weights

    def _rotate(self, queries: Tensor, keys: Tensor, embeddings: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        chosen = self.get_buffer("rotated").long()
        cosine, sine = (one[..., chosen] for one in embeddings)
        count = len(chosen)
        turned = apply_rotary_pos_emb(queries[..., :count], keys[..., :count], cosine, sine)
        rest = (queries[..., count:], keys[..., count:])
        query, key = (torch.cat(both, -1) for both in zip(turned, rest, strict=True))
        return query, key


def hidden_units(block: nn.Module, family: Family, activation: nn.Module, states: Tensor) -> Tensor:
    """Hidden layer of a feed-forward block, (…, hidden width)."""
    hidden: Tensor = activation(block.get_submodule(family.inputs[0])(states))
    for name in family.inputs[1:]:
        hidden = hidden * block.get_submodule(name)(states)
    return hidden


def activation_of(block: nn.Module) -> nn.Module:
    """The activation of a dense feed-forward block of the library."""
    return block.get_submodule("act_fn" if hasattr(block, "act_fn") else "activation_fn")


class CutFeedForward(nn.Module):
    """A feed-forward block over the units that are left; with experts each token is read by one expert's units.

    The state holds the linear maps over the union under their family's names and, with experts, `router`
    (experts, width) and `members`: the units of the first expert, of the second, and so on, int32.

    Args:
        dense: the block that it stands for.
    """

    def __init__(self, dense: nn.Module, block: LanguageBlock, config: PreTrainedConfig) -> None:
        super().__init__()
        width, biased = int(config.hidden_size), bool(_biased(config, "mlp"))
        self.family, self.sizes = family_of(config), block.experts
        self.activation = activation_of(dense)
        self.crossover = Crossover()
        for name in self.family.inputs:
            self.add_module(name, nn.Linear(width, block.feed_forward, bias=biased))
        self.add_module(self.family.outer, nn.Linear(block.feed_forward, width, bias=biased))
        self._packed: tuple[tuple[int, ...], list[nn.Module]] | None = None
        if self.sizes:
            self.router = nn.Parameter(torch.zeros(len(self.sizes), width))
            self.register_buffer("members", torch.zeros(sum(self.sizes), dtype=torch.int32))

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(…, width) to (…, width)."""
        if not self.sizes:
            output: Tensor = self.get_submodule(self.family.outer)(self._hidden(hidden_states))
            return output
        tokens = hidden_states.reshape(-1, hidden_states.shape[-1])
        expert = self.route(tokens)
        packed = self.crossover.packed(len(tokens)) and not torch.is_grad_enabled()
        read = self.read_packed if packed else self.read_masked
        return read(tokens, expert).view(hidden_states.shape)

    def _hidden(self, states: Tensor) -> Tensor:
        return hidden_units(self, self.family, self.activation, states)

    def route(self, tokens: Tensor) -> Tensor:
        """The expert of each token by its own state alone, (tokens,) int64; of equal ones the first. In float32."""
        return F.linear(tokens.float(), self.router.float()).argmax(-1)

    def lists(self) -> list[Tensor]:
        """The units of each expert, int64."""
        return list(torch.split(self.get_buffer("members").long(), list(self.sizes)))

    def read_masked(self, tokens: Tensor, expert: Tensor) -> Tensor:
        """Read all units and keep the expert's: (tokens, width)."""
        hidden = self._hidden(tokens)
        masks = hidden.new_zeros(len(self.sizes), hidden.shape[-1])
        for number, units in enumerate(self.lists()):
            masks[number, units] = 1
        output: Tensor = self.get_submodule(self.family.outer)(hidden * masks[expert])
        return output

    def read_packed(self, tokens: Tensor, expert: Tensor) -> Tensor:
        """Read each expert's tokens by its own matrices: (tokens, width)."""
        output = torch.empty_like(tokens)
        for number, one in enumerate(self.pack()):
            places = (expert == number).nonzero().squeeze(1)
            if len(places):
                hidden = hidden_units(one, self.family, self.activation, tokens[places])
                output[places] = one.get_submodule(self.family.outer)(hidden)
        return output

    @torch.no_grad()
    def pack(self) -> list[nn.Module]:
        """The experts' own linear maps, contiguous; made again where the weights have changed since."""
        sources = [*self.parameters(), self.get_buffer("members")]
        version = tuple(number for one in sources for number in (one.data_ptr(), one._version))
        if self._packed is None or self._packed[0] != version:
            self._packed = version, [self._expert(units) for units in self.lists()]
        return self._packed[1]

    def _expert(self, units: Tensor) -> nn.Module:
        """The linear maps of one expert; the bias of the map back is whole, as it is added once."""
        expert = nn.ModuleDict({name: cut_linear(linear(self, name), units, None) for name in self.family.inputs})
        expert[self.family.outer] = cut_linear(linear(self, self.family.outer), None, units)
        return expert


def cut_linear(dense: nn.Linear, rows: Tensor | None, columns: Tensor | None) -> nn.Linear:
    """A linear map of some outputs and some inputs of another, as indices; None for all. Frozen."""
    weight, bias = dense.weight.detach(), None if dense.bias is None else dense.bias.detach()
    if rows is not None:
        weight, bias = weight[rows], None if bias is None else bias[rows]
    if columns is not None:
        weight = weight[:, columns]
    cut = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    cut.weight = nn.Parameter(weight.clone(memory_format=torch.contiguous_format), requires_grad=False)
    if bias is not None:
        cut.bias = nn.Parameter(bias.clone(), requires_grad=False)
    return cut


def _build(network: PreTrainedModel) -> None:
    """Exchange attention and feed-forward of every layer for those of the config's sizes."""
    config = network.config
    for layer, block in zip(network.get_submodule("model.layers").children(), language_blocks(config), strict=True):
        layer.add_module("self_attn", CutAttention(layer.get_submodule("self_attn"), block, config))
        layer.add_module("mlp", CutFeedForward(layer.get_submodule("mlp"), block, config))


class CutLlamaConfig(LlamaConfig):
    """LLaMA's config with the sizes of each block."""

    model_type = f"{_CUT}llama"
    blocks: list[dict[str, Any]] | None = None


class CutQwen2Config(Qwen2Config):
    """Qwen2's config with the sizes of each block."""

    model_type = f"{_CUT}qwen2"
    blocks: list[dict[str, Any]] | None = None


class CutPhiConfig(PhiConfig):
    """Phi's config with the sizes of each block."""

    model_type = f"{_CUT}phi"
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
