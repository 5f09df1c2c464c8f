"""Low-rank changes of a denoiser's weights for one task (LoRA, Hu et al. 2022, arXiv 2106.09685).

The linear maps of the blocks get a change of low rank, `weight + up @ down`; biases, layer norms and the task's head
are small and trained whole. An adapter is one safetensors file beside the weights that it changes, a few megabytes.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.utils import parametrize

from model.architecture import TupleDenoiser
from model.checkpoint import PRECISIONS, Checkpoint
from model.errors import CheckpointError, InputError

FOLDER = "adapters"
"""Folder of a checkpoint that holds its adapters, `match.safetensors` and so on."""

_DOWN, _UP = ".down", ".up"
_WEIGHT = ".parametrizations.weight"


class LowRank(nn.Module):
    """A change of one matrix: nothing at first, as `up` begins as zeros."""

    def __init__(self, outputs: int, inputs: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.randn(rank, inputs) / inputs**0.5)
        self.up = nn.Parameter(torch.zeros(outputs, rank))

    def forward(self, weight: Tensor) -> Tensor:
        """The changed matrix, (outputs, inputs)."""
        return weight + self.up @ self.down


@dataclass(frozen=True, slots=True)
class AdapterShape:
    """What an adapter changes.

    Attributes:
        rank: rank of each change.
        parts: which blocks: of the `encoder`, of the `decoder`.
        heads: modules that are trained whole.
    """

    rank: int
    parts: tuple[str, ...] = ("encoder",)
    heads: tuple[str, ...] = ()


def attach(denoiser: TupleDenoiser, shape: AdapterShape) -> None:
    """Freeze `denoiser` but for what the adapter changes, in place. Seed torch before, as `down` is drawn.

    Raises:
        ValueError: a part or a head that the denoiser has not.
    """
    modules = dict(denoiser.named_modules())
    blocks = [f"{part}.blocks" for part in shape.parts]
    for name in (*blocks, *shape.heads):
        if name not in modules:
            raise ValueError(f"the denoiser has no {name}")
    denoiser.requires_grad_(False)
    for name in (*blocks, *shape.heads):
        modules[name].requires_grad_(True)
    for part in blocks:
        for _, module in sorted(modules[part].named_modules()):
            if isinstance(module, nn.Linear):
                module.weight.requires_grad_(False)
                change = LowRank(module.out_features, module.in_features, shape.rank)
                parametrize.register_parametrization(module, "weight", change.to(module.weight.device))


def continue_adapter(denoiser: TupleDenoiser, path: Path) -> None:
    """Give an `attach`ed denoiser the changes of an adapter of the same shape, in place, to train them further.

    Raises:
        CheckpointError: the file cannot be read, or has another shape.
    """
    changes, _ = read_adapter(path)
    for name, parameter in denoiser.named_parameters():
        if parameter.requires_grad:
            change = changes.get(_stored_name(name))
            if change is None or change.shape != parameter.shape:
                raise CheckpointError(f"adapter {path.stem!r} has another shape than what is trained")
            with torch.no_grad():
                parameter.copy_(change)


def save_adapter(path: Path, denoiser: TupleDenoiser, card: Mapping[str, Any]) -> None:
    """Write what training changed, in 16 bits, with its card in the file's header."""
    tensors = {_stored_name(name): tensor.detach().to("cpu", torch.float16).contiguous()
               for name, tensor in denoiser.named_parameters() if tensor.requires_grad}  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(save(tensors, {"card": json.dumps(card)}))


def adapter_path(checkpoint: Checkpoint, name: str) -> Path:
    """Where a checkpoint has the adapter `name`, be it there or not."""
    return checkpoint.path / FOLDER / f"{name}.safetensors"


def load_adapter(checkpoint: Checkpoint, path: Path) -> TupleDenoiser:
    """The checkpoint's denoiser with an adapter's changes, a copy in the same precision.

    Raises:
        CheckpointError: the file cannot be read, or does not fit the weights.
    """
    changes, _ = read_adapter(path)
    denoiser = copy.deepcopy(checkpoint.denoiser)
    parameters = dict(denoiser.named_parameters())
    precision = PRECISIONS[checkpoint.precision]
    try:
        for name, change in changes.items():
            if name.endswith(_DOWN):
                continue
            if name.endswith(_UP):
                name = name.removesuffix(_UP)
                change = parameters[name].float() + change.float() @ changes[name + _DOWN].float()
            if parameters[name].shape != change.shape:
                raise KeyError(name)
            parameters[name].data = change.to(precision)
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"adapter {path.stem!r} does not fit the weights: {error}") from error
    return denoiser.eval().requires_grad_(False)


_ADAPTED: WeakKeyDictionary[TupleDenoiser, dict[str, tuple[TupleDenoiser, str]]] = WeakKeyDictionary()
"""The changed weights, and a hash that tells them from others, by the weights and the name of the adapter."""


def with_adapter(checkpoint: Checkpoint, name: str) -> Checkpoint:
    """The checkpoint with the weights of one of its adapters, which are loaded once.

    Raises:
        InputError: it has none of this name.
        CheckpointError: it does not fit.
    """
    known = _ADAPTED.setdefault(checkpoint.denoiser, {})
    if name not in known:
        path = adapter_path(checkpoint, name)
        if not path.is_file():
            is_cut = bool(checkpoint.config.encoder_sizes or checkpoint.config.decoder_sizes)
            why = ", as it was cut to fewer parameters and adapters fit the uncut model" if is_cut else ""
            raise InputError(f"the checkpoint cannot {name}: it has no adapter {name!r}{why}")
        sha256 = hashlib.sha256(f"{checkpoint.sha256} {hashlib.sha256(path.read_bytes()).hexdigest()}".encode())
        known[name] = load_adapter(checkpoint, path), sha256.hexdigest()
    denoiser, digest = known[name]
    return replace(checkpoint, denoiser=denoiser, sha256=digest)


def read_adapter(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and card of an adapter.

    Raises:
        CheckpointError: the file cannot be read.
    """
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no dict
            card: dict[str, Any] = json.loads((file.metadata() or {})["card"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"cannot read adapter {path.name}: {error}") from error
    return tensors, card


def _stored_name(name: str) -> str:
    """`blocks.0.inner.parametrizations.weight.0.up` is stored as `blocks.0.inner.weight.up`."""
    if _WEIGHT not in name:
        return name
    module, _, change = name.partition(_WEIGHT)
    return f"{module}.weight.{change.rpartition('.')[2]}"
