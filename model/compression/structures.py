"""Prunable units of a network in one description, which masks, counting and cutting all read.

A *structure* is one set of units that may be removed one by one: the dimensions of a layer's queries and keys, those of
its values, the hidden width of a feed-forward block. A unit is some output rows of some linear maps (with their biases)
and some input columns of others; a removed unit takes them all along. The dimensions of attention are shared by all
heads of a layer, so that its heads stay equally wide (ATP's layer-uniform space, Lu et al. 2024, arXiv 2412.14426).

Every weight belongs to at most one structure, so the parameters that a mask keeps are a sum over its units. Biases of
maps that lead back to the width of the model, norms, embeddings and heads belong to none and are never removed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

import torch
from torch import Tensor, nn

from model.config import BlockSizes, ModelConfig

Masks = Mapping[str, Tensor]
"""One mask per structure, by name, (units,): 1 or True where a unit is kept; between where it is undecided."""


class Kind(StrEnum):
    """What the units of a structure are."""

    QUERY_KEY = "query_key"
    VALUE = "value"
    FEED_FORWARD = "feed_forward"


@dataclass(frozen=True, slots=True)
class Side:
    """Where the units of a structure stand in one linear map.

    Attributes:
        module: name of the linear map in the network.
        rows: whether units are its outputs (rows of the weight, and the bias) or its inputs (columns).
        copies: how often the units stand there behind one another, once for each head. Where two dimensions are rotated
            together, half a head apart, a unit is the pair and there are two copies for each head.
    """

    module: str
    rows: bool
    copies: int = 1

    def expand(self, mask: Tensor) -> Tensor:
        """A mask of units as a mask of rows or columns, (copies * units,)."""
        return mask.repeat(self.copies)


@dataclass(frozen=True, slots=True)
class Structure:
    """One set of prunable units.

    Attributes:
        name: of the structure, unique in the network.
        layer: name of the block it belongs to; structures of one layer are decided from one vector.
        kind: what its units are.
        units: how many there are.
        sides: where they stand.
        unit_parameters: numbers that leave the file with one unit.
    """

    name: str
    layer: str
    kind: Kind
    units: int
    sides: tuple[Side, ...]
    unit_parameters: int


def denoiser_structures(config: ModelConfig) -> tuple[Structure, ...]:
    """The structures of the tuple denoiser, cut or not, in the order of its layers."""
    structures: list[Structure] = []
    for part, blocks in (("encoder", config.blocks_of_encoder), ("decoder", config.blocks_of_decoder)):
        for number, sizes in enumerate(blocks):
            structures += _block_structures(f"{part}.blocks.{number}", sizes, config)
    return tuple(structures)


def _block_structures(layer: str, sizes: BlockSizes, config: ModelConfig) -> list[Structure]:
    width, heads = config.width, config.heads
    attentions = {"attention": (sizes.query_key, sizes.value)}
    if sizes.cross_value:
        attentions["cross_attention"] = (sizes.cross_query_key, sizes.cross_value)
    structures = []
    for name, (query_key, value) in attentions.items():
        module = f"{layer}.{name}"
        compared = (Side(f"{module}.query", True, heads), Side(f"{module}.key", True, heads))
        carried = (Side(f"{module}.value", True, heads), Side(f"{module}.out", False, heads))
        structures += [
            Structure(f"{module}.query_key", layer, Kind.QUERY_KEY, query_key, compared, 2 * heads * (width + 1)),
            Structure(f"{module}.value", layer, Kind.VALUE, value, carried, heads * (2 * width + 1)),
        ]
    module = f"{layer}.feed_forward"
    hidden = (Side(f"{module}.inner", True), Side(f"{module}.outer", False))
    structures.append(Structure(module, layer, Kind.FEED_FORWARD, sizes.feed_forward, hidden, 2 * width + 1))
    return structures


def cut_config(config: ModelConfig, masks: Masks) -> ModelConfig:
    """The config of the model that is left when the units with a false mask are removed."""
    kept = {structure.name: int(masks[structure.name].sum()) for structure in denoiser_structures(config)}

    def sizes(layer: str, *, cross: bool) -> BlockSizes:
        attention, other = f"{layer}.attention", f"{layer}.cross_attention"
        return BlockSizes(
            kept[f"{attention}.query_key"],
            kept[f"{attention}.value"],
            kept[f"{layer}.feed_forward"],
            kept[f"{other}.query_key"] if cross else 0,
            kept[f"{other}.value"] if cross else 0,
        )

    fields = {name: getattr(config, name) for name in config.__slots__}
    return ModelConfig(
        **fields
        | {
            "encoder_sizes": tuple(sizes(f"encoder.blocks.{n}", cross=False) for n in range(config.encoder_layers)),
            "decoder_sizes": tuple(sizes(f"decoder.blocks.{n}", cross=True) for n in range(config.decoder_layers)),
        }
    )


def full_masks(structures: Sequence[Structure]) -> dict[str, Tensor]:
    """Masks that keep every unit, bool (units,)."""
    return {structure.name: torch.ones(structure.units, dtype=torch.bool) for structure in structures}


def prunable_parameters(structures: Sequence[Structure]) -> int:
    """Numbers that belong to some unit: the denominator of every kept share."""
    return sum(structure.units * structure.unit_parameters for structure in structures)


def kept_parameters(structures: Sequence[Structure], masks: Masks) -> Tensor:
    """Prunable numbers that masks keep, float64 (): with a gradient where the masks have one."""
    sums = [structure.unit_parameters * masks[structure.name].double().sum() for structure in structures]
    return torch.stack(sums).sum()


def kept_share(structures: Sequence[Structure], masks: Masks) -> Tensor:
    """`kept_parameters` as a share of all prunable ones, float64 ()."""
    return kept_parameters(structures, masks) / prunable_parameters(structures)


@dataclass(frozen=True, slots=True)
class ModelSize:
    """How large a model is, by its config alone.

    Attributes:
        stored: numbers in the weights file.
        prunable: those of them that belong to some unit.
        active: prunable numbers that one token meets at most, by the widest expert of every block; equal to `prunable`
            where nothing is routed.
        routers: numbers of the routers, a part of `stored` and not of `prunable`; every token meets all of them.
        members: indices that say which hidden units an expert has, in the file beside `stored`, four bytes each.
        encoder_flops: floating-point operations for one more token that is read: two for each weight of a linear map
            that it goes through, keys and values of cross-attention and of copying included, and the router with the
            widest expert. Attention scores, which grow with the length, are left out, and so are the table look-ups.
        decoder_flops: the same for one more token that is written, the vocabulary included.
    """

    stored: int
    prunable: int
    active: int
    encoder_flops: int
    decoder_flops: int
    routers: int = 0
    members: int = 0

    def record(self) -> dict[str, int]:
        """As JSON, with the file's size in bytes before the header: two for each number, four for each index."""
        return {**asdict(self), "bytes": 2 * self.stored + 4 * self.members}


def model_size(config: ModelConfig) -> ModelSize:
    """Count a denoiser of this config without making one."""
    width, heads, vocabulary = config.width, config.heads, config.vocabulary_size
    prunable = prunable_parameters(denoiser_structures(config))
    layers = config.encoder_layers, config.decoder_layers
    outputs = (2 * layers[0] + 3 * layers[1]) * width  # biases of the maps that lead back to the width
    norms = (2 * layers[0] + 3 * layers[1]) * 2 * width
    tables = (vocabulary + config.positions + config.max_attributes + 1 + config.roles) * width + 2 * width
    writing = 3 * (width * width + width) + 2 * width + vocabulary + width + 1
    heads_of_tasks = 4 * (width * width + width) + (1 + 1 + width + 2) * (width + 1)
    blocks = config.blocks_of_encoder + config.blocks_of_decoder
    routers = width * sum(len(block.experts) for block in blocks)
    stored = prunable + outputs + norms + tables + writing + heads_of_tasks + routers

    reading, answering = 0, 0
    for block in config.blocks_of_encoder:
        reading += 2 * heads * width * (block.query_key + block.value) + width * _feed_forward_rows(block)
    for block in config.blocks_of_decoder:
        answering += 2 * heads * width * (block.query_key + block.value) + width * _feed_forward_rows(block)
        answering += heads * width * (block.cross_query_key + block.cross_value)
        reading += heads * width * (block.cross_query_key + block.cross_value)
    reading += width * width  # keys of copying
    answering += 2 * width * width + width * vocabulary + width
    idle = sum((2 * width + 1) * (block.feed_forward - max(block.experts)) for block in blocks if block.experts)
    members = sum(sum(block.experts) for block in blocks)
    return ModelSize(stored, prunable, prunable - idle, 2 * reading, 2 * answering, routers, members)


def _feed_forward_rows(block: BlockSizes) -> int:
    """Rows of the width of the model that a token meets in a feed-forward block: in, out, and the router's."""
    return 2 * max(block.experts, default=block.feed_forward) + len(block.experts)


def linear(network: nn.Module, name: str) -> nn.Linear:
    """The linear map of a side.

    Raises:
        ValueError: the network has none of this name.
    """
    module = dict(network.named_modules()).get(name)
    if not isinstance(module, nn.Linear):
        raise ValueError(f"the network has no linear map {name!r}")
    return module
