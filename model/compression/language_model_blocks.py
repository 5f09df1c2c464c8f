"""Blocks of decoder-only models with sizes of their own and with experts, in place of the library's.

They are built of the library's dense ones, whose settings they take over, and are called as those are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.compression.experts import Crossover
from model.compression.language_model_structures import Family, LanguageBlock, biased, family_of
from model.compression.structures import linear

try:
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb, eager_attention_forward
except ImportError as error:
    raise ImportError("decoder-only models need transformers: install rpt-service[compression]") from error

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


class CutAttention(nn.Module):
    """Causal attention whose queries and keys are as wide as is left of them, and values of a width of their own.

    Scores are scaled as they were before the cut. The state holds the linear maps under their family's names and
    `rotated`: which of the rotation's dimensions are left, int32 (2 * pairs,).

    Args:
        dense: the attention that it stands for, whose settings it takes over.
    """

    def __init__(self, dense: nn.Module, block: LanguageBlock, config: PreTrainedConfig) -> None:
        super().__init__()
        width, has_bias = int(config.hidden_size), bool(biased(config, "attention"))
        heads, groups = int(config.num_attention_heads), int(config.num_key_value_heads)
        self.config, self.layer_idx = config, dense.layer_idx
        self.scaling, self.attention_dropout = dense.scaling, dense.attention_dropout
        self.sliding_window = getattr(dense, "sliding_window", None)
        self.num_key_value_groups, self.is_causal = heads // groups, True
        self.compared, self.value = 2 * block.rotated + block.passed, block.value
        self.q_proj = nn.Linear(width, heads * self.compared, bias=has_bias)
        self.k_proj = nn.Linear(width, groups * self.compared, bias=has_bias)
        self.v_proj = nn.Linear(width, groups * self.value, bias=has_bias)
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
        width, has_bias = int(config.hidden_size), bool(biased(config, "mlp"))
        self.family, self.sizes = family_of(config), block.experts
        self.activation = activation_of(dense)
        self.crossover = Crossover()
        for name in self.family.inputs:
            self.add_module(name, nn.Linear(width, block.feed_forward, bias=has_bias))
        self.add_module(self.family.outer, nn.Linear(block.feed_forward, width, bias=has_bias))
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
