"""A frozen decoder-only model that obeys masks: what ToMoE trains through, and what a cut model must agree with."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.compression.gates import Routing, choose
from model.compression.language_model_blocks import activation_of, hidden_units
from model.compression.language_model_structures import Family, family_of, language_structures
from model.compression.structures import Kind, Side, Structure, linear

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class GatedLinear(nn.Module):
    """A linear map whose outputs are zero where a structure that has a mask does not keep them.

    Args:
        sides: where the units of each structure stand in it, by the structure's name.
    """

    def __init__(self, dense: nn.Linear, sides: Mapping[str, Side]) -> None:
        super().__init__()
        self.dense = dense
        self.sides = dict(sides)
        self.masks: Mapping[str, Tensor] = {}

    def forward(self, states: Tensor) -> Tensor:
        """(…, inputs) to (…, outputs)."""
        output: Tensor = self.dense(states)
        for name, side in self.sides.items():
            if name in self.masks:
                output = output * side.expand(self.masks[name].reshape(-1).to(output.dtype))
        return output


class GatedBlock(nn.Module):
    """A feed-forward block and a router; dense while it has no mask (experts, units)."""

    def __init__(self, dense: nn.Module, family: Family, experts: int, width: int, rng: torch.Generator) -> None:
        super().__init__()
        self.dense = dense
        self.family = family
        self.activation = activation_of(dense)
        self.router = nn.Parameter(torch.randn(experts, width, generator=rng) / width**0.5)
        self.mask: Tensor | None = None
        self.rng: torch.Generator | None = None
        self.routing: Routing | None = None

    def forward(self, states: Tensor) -> Tensor:
        """(…, width) to (…, width)."""
        if self.mask is None:
            output: Tensor = self.dense(states)
            return output
        logits = F.linear(states.float(), self.router.float()[: len(self.mask)])
        chosen = choose(logits, self.rng)
        self.routing = Routing(chosen, logits.softmax(-1))
        kept = (chosen @ self.mask.float()).to(states.dtype)
        output = self.dense.get_submodule(self.family.outer)(self._hidden(states) * kept)
        return output

    def _hidden(self, states: Tensor) -> Tensor:
        return hidden_units(self.dense, self.family, self.activation, states)


class GatedLanguageModel:
    """A frozen copy of a decoder-only model with gates. Outside `obeying` it is the dense model.

    Queries are masked and keys are not: the scores are those of both masked, and what is off has a gradient still.

    Args:
        rng: draws the routers' first weights.

    Raises:
        ValueError: the model cannot be cut.
    """

    def __init__(self, model: PreTrainedModel, experts: int, rng: torch.Generator) -> None:
        self.structures = language_structures(model.config)
        self.model: nn.Module = copy.deepcopy(model).requires_grad_(False).eval()
        self.blocks: dict[str, GatedBlock] = {}
        self.maps: list[GatedLinear] = []
        family, width = family_of(model.config), int(model.config.hidden_size)
        for structure in self.structures:
            if structure.kind is Kind.FEED_FORWARD:
                dense = self.model.get_submodule(structure.name)
                self.blocks[structure.name] = GatedBlock(dense, family, experts, width, rng)
                self._replace(structure.name, self.blocks[structure.name])
        for module, sides in _masked_maps(self.structures).items():
            self.maps.append(GatedLinear(linear(self.model, module), sides))
            self._replace(module, self.maps[-1])

    def _replace(self, name: str, module: nn.Module) -> None:
        parent, _, child = name.rpartition(".")
        self.model.get_submodule(parent).add_module(child, module)

    def routers(self) -> dict[str, nn.Parameter]:
        """The routers by block, (experts, width)."""
        return {name: block.router for name, block in self.blocks.items()}

    @contextmanager
    def obeying(self, masks: Mapping[str, Tensor], rng: torch.Generator | None = None) -> Iterator[None]:
        """Within this context the masks hold; with an `rng` routers choose with noise. No mask: all units."""
        for name, block in self.blocks.items():
            block.mask, block.rng = masks.get(name), rng
        for one in self.maps:
            one.masks = masks
        try:
            yield
        finally:
            for block in self.blocks.values():
                block.mask, block.rng = None, None
            for one in self.maps:
                one.masks = {}

    def log_probabilities(self, ids: Tensor, keep: Tensor) -> Tensor:
        """Of every next token after each real token, (real tokens, vocabulary) float32 or better.

        Args:
            ids, keep: tokens, and where they are no padding, (batch, length); padding stands behind.
        """
        logits: Tensor = self.model(input_ids=ids, attention_mask=keep.long()).logits[keep]
        return logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)

    def routing(self, keep: Tensor) -> dict[str, Routing]:
        """What each router did with the real tokens of the last call, by block."""
        return {name: block.routing.of(keep) for name, block in self.blocks.items() if block.routing is not None}


def _masked_maps(structures: Sequence[Structure]) -> dict[str, dict[str, Side]]:
    """The queries' and values' maps with the structures that mask them."""
    found: dict[str, dict[str, Side]] = {}
    for structure in structures:
        if structure.kind is not Kind.FEED_FORWARD:
            side = structure.sides[0]
            found.setdefault(side.module, {})[structure.name] = side
    return found
