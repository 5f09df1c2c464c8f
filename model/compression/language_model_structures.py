"""Units of decoder-only models that may be removed: LLaMA, Qwen2 and Phi, as the transformers library has them.

They are described as those of the denoiser are (`model.compression.structures`). A unit of queries and keys is a *pair*
of dimensions where they are rotated by their position (Su et al. 2021, arXiv 2104.09864), half a head apart, so that a
pair stays or goes together; Phi rotates only a part of a head, and its other dimensions go one by one. Grouped queries
share the keys and values of their group, so a unit is the same dimension of all heads. This file reads configs alone,
dense or cut, and needs no library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from model.compression.structures import Kind, Side, Structure

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


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

CUT = "rpt_"
"""What the name of a family's cut model begins with."""


def family_of(config: PreTrainedConfig) -> Family:
    """The family of a model, cut or not.

    Raises:
        ValueError: it is of none, or normalizes single queries and keys, so that their dimensions hang together.
    """
    family = FAMILIES.get(str(config.model_type).removeprefix(CUT))
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
        cost = len(family.inputs) * (width + biased(config, "mlp")) + width
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
    row = width + biased(config, "attention")
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


def biased(config: PreTrainedConfig, part: str) -> int:
    """1 where the maps from the width have biases."""
    kind = str(config.model_type).removeprefix(CUT)
    fixed = {"qwen2": {"attention": True, "mlp": False}, "phi": {"attention": True, "mlp": True}}
    return int(fixed[kind][part] if kind in fixed else getattr(config, f"{part}_bias"))
