"""An adapter begins as nothing, changes what it says, and comes back from its file as it was trained."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.adapters import AdapterShape, adapter_path, attach, load_adapter, read_adapter, save_adapter, with_adapter
from model.architecture import TupleDenoiser
from model.checkpoint import Checkpoint
from model.dataset import collate_inputs
from model.errors import CheckpointError, InputError

SHAPE = AdapterShape(4, ("encoder",), ("match",))


def states(denoiser: TupleDenoiser, checkpoint: Checkpoint) -> Tensor:
    inputs = [checkpoint.serializer.serialize(["name", "zip"], ["Anna", "02116"], [["Ana", "02116"]])]
    with torch.no_grad():
        return denoiser.encode(collate_inputs(inputs))


def trained(checkpoint: Checkpoint, shape: AdapterShape = SHAPE) -> TupleDenoiser:
    """A copy whose every free parameter was moved."""
    denoiser = copy.deepcopy(checkpoint.denoiser)
    torch.manual_seed(3)
    attach(denoiser, shape)
    for parameter in denoiser.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn_like(parameter)
    return denoiser


def test_an_adapter_changes_nothing_before_it_is_trained(bare_checkpoint: Checkpoint) -> None:
    denoiser = copy.deepcopy(bare_checkpoint.denoiser)
    attach(denoiser, SHAPE)
    assert torch.equal(states(denoiser, bare_checkpoint), states(bare_checkpoint.denoiser, bare_checkpoint))


def test_only_what_the_shape_names_is_free(bare_checkpoint: Checkpoint) -> None:
    denoiser = copy.deepcopy(bare_checkpoint.denoiser)
    attach(denoiser, SHAPE)
    free = {name for name, one in denoiser.named_parameters() if one.requires_grad}
    assert all(name.startswith(("encoder.blocks.", "match.")) for name in free)
    assert not [name for name in free if name.endswith("weight.original")]
    assert len([name for name in free if name.endswith(".up")]) == 2 * 6  # six linear maps of each of two blocks
    assert {"match.inner.weight", "match.outer.bias"} <= free


def test_a_file_gives_back_what_was_trained(bare_checkpoint: Checkpoint, tmp_path: Path) -> None:
    denoiser = trained(bare_checkpoint)
    path = tmp_path / "adapters" / "match.safetensors"
    save_adapter(path, denoiser, {"task": "match"})
    loaded = load_adapter(bare_checkpoint, path)
    assert set(dict(loaded.named_parameters())) == set(dict(bare_checkpoint.denoiser.named_parameters()))
    torch.testing.assert_close(
        states(loaded, bare_checkpoint), states(denoiser, bare_checkpoint), rtol=0.02, atol=0.02
    )  # 16 bits
    assert not torch.allclose(states(loaded, bare_checkpoint), states(bare_checkpoint.denoiser, bare_checkpoint))
    assert not any(one.requires_grad for one in loaded.parameters())
    assert torch.equal(loaded.decoder.output.weight, bare_checkpoint.denoiser.decoder.output.weight)
    assert read_adapter(path)[1] == {"task": "match"}
    assert adapter_path(replace(bare_checkpoint, path=tmp_path), "match") == path


@pytest.mark.parametrize("content", [b"", b"{}"])
def test_a_file_that_is_none_is_refused(bare_checkpoint: Checkpoint, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "match.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="match"):
        load_adapter(bare_checkpoint, tmp_path / "match.safetensors")


def test_an_adapter_of_other_weights_is_refused(bare_checkpoint: Checkpoint, tmp_path: Path) -> None:
    deeper = copy.deepcopy(bare_checkpoint)
    deeper.denoiser.encoder.blocks.append(copy.deepcopy(deeper.denoiser.encoder.blocks[0]))
    save_adapter(tmp_path / "match.safetensors", trained(deeper), {})
    with pytest.raises(CheckpointError, match="does not fit"):
        load_adapter(bare_checkpoint, tmp_path / "match.safetensors")


def test_a_part_that_is_not_there_is_an_error(bare_checkpoint: Checkpoint) -> None:
    with pytest.raises(ValueError, match="no nothing"):
        attach(copy.deepcopy(bare_checkpoint.denoiser), AdapterShape(4, heads=("nothing",)))


def test_an_adapter_is_loaded_once_and_makes_other_weights(checkpoint: Checkpoint) -> None:
    adapted = with_adapter(checkpoint, "transform")
    assert adapted.denoiser is with_adapter(checkpoint, "transform").denoiser
    without = with_adapter(replace(checkpoint, names=None), "transform")
    assert without.denoiser is adapted.denoiser and without.names is None is not adapted.names
    assert adapted.sha256 != checkpoint.sha256 and adapted.denoiser is not checkpoint.denoiser
    with pytest.raises(InputError, match="cannot juggle: it has no adapter 'juggle'"):
        with_adapter(checkpoint, "juggle")
