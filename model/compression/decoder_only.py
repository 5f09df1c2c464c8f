"""Static cuts of decoder-only language models (LLaMA, Qwen2, Phi) as the `transformers` library has them.

The same description of prunable units as for the tuple denoiser. Rotary embeddings turn dimension i of a head together
with dimension i + half, so a unit of queries and keys is such a pair in every head, and the cut attention turns what is
left by the angles it always had. Under grouped queries keys and values have fewer copies of a unit than queries.
`transformers` belongs to the extra `compression` and is imported when a model is built.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from model.compression.cutting import kept_weights
from model.compression.structures import Kind, Masks, Side, Structure, linear
from model.errors import CheckpointError, InputError

FAMILIES = ("llama", "qwen2", "phi")
_HEAD, _TABLE = "lm_head.weight", "model.embed_tokens.weight"


def decoder_only_structures(config: Any) -> tuple[Structure, ...]:
    """The structures of an uncut model by its `transformers` config, in the order of its layers.

    Where only a part of a head is rotated (Phi), the other dimensions are spread over the pairs.

    Raises:
        InputError: another family, or a variant that cannot be cut in this way.
    """
    _refuse_others(config)
    structures: list[Structure] = []
    for number in range(config.num_hidden_layers):
        structures += _layer_structures(config, f"model.layers.{number}")
    return tuple(structures)


def _refuse_others(config: Any) -> None:
    if config.model_type not in FAMILIES:
        raise InputError(f"a model of type {config.model_type!r} cannot be cut; only {', '.join(FAMILIES)}")
    if getattr(config, "qk_layernorm", False) or getattr(config, "use_sliding_window", False):
        raise InputError("models with norms of queries and keys, or with sliding windows, cannot be cut")
    if head_width(config) % _pairs(config):
        raise InputError("the dimensions of a head that are not rotated cannot be spread over its pairs")


def head_width(config: Any) -> int:
    """Dimensions of one head of the uncut model."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _pairs(config: Any) -> int:
    """Pairs of dimensions of one head that are rotated together."""
    factor = (config.rope_parameters or {}).get("partial_rotary_factor", 1.0)
    return int(head_width(config) * factor) // 2


def _layer_structures(config: Any, layer: str) -> list[Structure]:
    attention, mlp, phi = f"{layer}.self_attn", f"{layer}.mlp", config.model_type == "phi"
    heads, groups, pairs = config.num_attention_heads, config.num_key_value_heads, _pairs(config)
    each = head_width(config) // pairs  # places of one unit in a head
    compared = (Side(f"{attention}.q_proj", True, each * heads), Side(f"{attention}.k_proj", True, each * groups))
    out = f"{attention}.dense" if phi else f"{attention}.o_proj"
    inner, outer = (("fc1",), "fc2") if phi else (("gate_proj", "up_proj"), "down_proj")
    hidden = (*(Side(f"{mlp}.{name}", True) for name in inner), Side(f"{mlp}.{outer}", False))
    width = config.hidden_size
    read = width + int(phi or config.model_type == "qwen2" or config.attention_bias)  # a row with its bias
    row = width + int(phi or getattr(config, "mlp_bias", False))
    return [
        Structure(f"{attention}.query_key", layer, Kind.QUERY_KEY, pairs, compared, each * (heads + groups) * read),
        Structure(
            f"{attention}.value",
            layer,
            Kind.VALUE,
            head_width(config),
            # Values of a group are read by several heads of the output, all at the same dimension.
            (Side(f"{attention}.v_proj", True, groups), Side(out, False, heads)),
            groups * read + heads * width,
        ),
        Structure(mlp, layer, Kind.FEED_FORWARD, config.intermediate_size, hidden, len(inner) * row + width),
    ]


class CutAttention(nn.Module):
    """Attention whose heads have lost pairs of queries and keys and dimensions of values.

    Scores keep the scale of the uncut head. `pairs` says which pairs are left, int64, and is part of the state.
    """

    pairs: Tensor

    def __init__(self, attention: nn.Module, config: Any, pairs: int, value: int) -> None:
        super().__init__()
        self.heads, self.groups = config.num_attention_heads, config.num_key_value_heads
        self.scale = head_width(config) ** -0.5
        self.layer = int(attention.layer_idx)  # type: ignore[arg-type]
        self.value_width = value
        self.query_width = head_width(config) // _pairs(config) * pairs
        self.all_pairs = _pairs(config)
        self.register_buffer("pairs", torch.zeros(pairs, dtype=torch.int64))
        for name, outputs in (
            ("q_proj", self.heads * self.query_width),
            ("k_proj", self.groups * self.query_width),
            ("v_proj", self.groups * value),
        ):
            self.add_module(name, _linear_like(attention.get_submodule(name), outputs=outputs))
        self.out = "dense" if config.model_type == "phi" else "o_proj"
        self.add_module(self.out, _linear_like(attention.get_submodule(self.out), inputs=self.heads * value))

    def forward(
        self,
        hidden_states: Tensor,
        position_embeddings: tuple[Tensor, Tensor],
        attention_mask: Tensor | None = None,
        cache: Any = None,
        **_: Any,
    ) -> tuple[Tensor, None]:
        """As the attention that it replaces, with the additive mask of the `eager` implementation."""
        queries = self._split("q_proj", hidden_states, self.query_width)
        keys = self._split("k_proj", hidden_states, self.query_width)
        values = self._split("v_proj", hidden_states, self.value_width)
        places = torch.cat([self.pairs, self.pairs + self.all_pairs])
        cos, sin = (part[:, None, :, places] for part in position_embeddings)
        queries, keys = self._rotate(queries, cos, sin), self._rotate(keys, cos, sin)
        if cache is not None:
            keys, values = cache.update(keys, values, self.layer)
        each = self.heads // self.groups
        scores = queries @ keys.repeat_interleave(each, 1).transpose(2, 3) * self.scale
        if attention_mask is not None:
            scores = scores + attention_mask
        mixed = scores.softmax(-1) @ values.repeat_interleave(each, 1)
        batch, _heads, length, _width = mixed.shape
        output: Tensor = self.get_submodule(self.out)(mixed.transpose(1, 2).reshape(batch, length, -1))
        return output, None

    def _split(self, name: str, states: Tensor, width: int) -> Tensor:
        """(batch, length, …) to (batch, heads, length, width)."""
        projected: Tensor = self.get_submodule(name)(states)
        return projected.view(*states.shape[:2], -1, width).transpose(1, 2)

    def _rotate(self, states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Turn the pairs, which stand half of the rotated part apart; what follows them is not turned."""
        turned, rest = states[..., : cos.shape[-1]], states[..., cos.shape[-1] :]
        first, second = turned.chunk(2, -1)
        return torch.cat([turned * cos + torch.cat([-second, first], -1) * sin, rest], -1)


def _linear_like(module: nn.Module, inputs: int | None = None, outputs: int | None = None) -> nn.Linear:
    """A linear map of another size, with a bias where `module` has one, in its type."""
    assert isinstance(module, nn.Linear)
    made = nn.Linear(inputs or module.in_features, outputs or module.out_features, bias=module.bias is not None)
    return made.to(module.weight.dtype)


def cut_decoder_only(network: nn.Module, masks: Masks) -> nn.Module:
    """A smaller copy of a model of `transformers` without the units whose mask is 0.

    Raises:
        InputError: the model cannot be cut.
        ValueError: a structure would lose all its units, or a mask is not decided.
    """
    config: Any = network.config
    structures = decoder_only_structures(config)
    weights = kept_weights(network.state_dict(), structures, masks)
    sizes: list[list[int]] = []
    for number in range(config.num_hidden_layers):
        layer = [one for one in structures if one.layer == f"model.layers.{number}"]
        sizes.append([int(masks[one.name].sum()) for one in layer])
        weights[f"model.layers.{number}.self_attn.pairs"] = masks[layer[0].name].nonzero().squeeze(1)
    smaller = copy.deepcopy(network)
    _shrink(smaller, sizes)
    smaller.load_state_dict(weights, strict=True)
    return smaller.eval().requires_grad_(False)


def _shrink(network: nn.Module, sizes: Sequence[Sequence[int]]) -> None:
    """Replace, in place, what has other sizes; a layer has pairs, dimensions of values, width of its hidden layer."""
    config: Any = network.config
    config._attn_implementation = "eager"  # its masks are additive, whatever the length
    for number, (pairs, value, hidden) in enumerate(sizes):
        layer = network.get_submodule(f"model.layers.{number}")
        layer.add_module("self_attn", CutAttention(layer.get_submodule("self_attn"), config, pairs, value))
        mlp = layer.get_submodule("mlp")
        for name in ("fc1", "gate_proj", "up_proj"):
            if hasattr(mlp, name):
                mlp.add_module(name, _linear_like(linear(mlp, name), outputs=hidden))
        for name in ("fc2", "down_proj"):
            if hasattr(mlp, name):
                mlp.add_module(name, _linear_like(linear(mlp, name), inputs=hidden))
    config.cut = [list(one) for one in sizes]


def save_decoder_only(folder: Path, network: nn.Module) -> None:
    """Write a cut model: `config.json`, whose `cut` has the sizes of each layer, and `model.safetensors`."""
    config: Any = network.config
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config.to_dict(), indent=2) + "\n", encoding="utf-8")
    weights = {name: tensor.detach().contiguous() for name, tensor in network.state_dict().items()}
    if config.tie_word_embeddings:
        del weights[_HEAD]
    save_file(weights, folder / "model.safetensors")


def load_decoder_only(folder: Path) -> nn.Module:
    """Load what `save_decoder_only` wrote, strictly and without code from the folder.

    Raises:
        CheckpointError: a file is missing or does not fit.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        record = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        weights = load_file(folder / "model.safetensors")
        sizes = record.pop("cut")
        config = AutoConfig.for_model(record.pop("model_type"), **record)
        _refuse_others(config)
        models: Any = AutoModelForCausalLM
        network: nn.Module = models.from_config(config, attn_implementation="eager")
        network.to(weights[_TABLE].dtype)
        _shrink(network, sizes)
        if config.tie_word_embeddings:
            weights[_HEAD] = weights[_TABLE]
        network.load_state_dict(weights, strict=True)
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"cannot load the cut model {folder.name!r}: {error}") from error
    return network.eval().requires_grad_(False)
