"""The exported model computes what the masked one did, stores the union once, and loads to the last bit."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.architecture import DecoderCache, TupleDenoiser
from model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from model.compression.expert_export import export, make_experts, members
from model.compression.expert_training import ToMoEConfig
from model.compression.experts import Crossover, ExpertFeedForward
from model.compression.structures import model_size
from model.compression.tomoe import ToMoE, outputs
from model.dataset import TrainingBatch
from model.errors import CheckpointError
from model.inference.batching import run_task
from model.inference.completion import complete
from model.tuples import Cell, CompletionOptions, CompletionTarget, Relation


@pytest.fixture(scope="module")
def trained(denoiser: TupleDenoiser) -> tuple[ToMoE, dict[str, Tensor]]:
    """Untrained experts at 60 % whose masks and routers differ: what the identity needs."""
    tomoe = ToMoE(denoiser, ToMoEConfig(experts=4, seed=2))
    for router in tomoe.gates.routers().values():
        router.data = router.data.half().float()
    return tomoe, tomoe.decide()


@pytest.fixture(scope="module")
def routed(denoiser: TupleDenoiser, trained: tuple[ToMoE, dict[str, Tensor]]) -> TupleDenoiser:
    tomoe, masks = trained
    return export(denoiser, masks, tomoe.gates.routers())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, routed: TupleDenoiser, checkpoint: Checkpoint) -> Path:
    path = tmp_path_factory.mktemp("routed") / "tiny-experts"
    card = {"name": "tiny-experts", "version": "1"}
    save_checkpoint(path, routed, checkpoint.serializer.tokenizer, card, checkpoint.calibration)
    return path


def blocks_of(denoiser: TupleDenoiser) -> dict[str, ExpertFeedForward]:
    return {name: one for name, one in denoiser.named_modules() if isinstance(one, ExpertFeedForward)}


def test_encoder_and_decoder_are_routed_and_experts_differ(
    routed: TupleDenoiser, trained: tuple[ToMoE, dict[str, Tensor]]
) -> None:
    assert list(blocks_of(routed)) == [
        f"{part}.blocks.{n}.feed_forward" for part in ("encoder", "decoder") for n in (0, 1)
    ]
    masks = trained[1]
    for name, block in blocks_of(routed).items():
        assert not bool((masks[name] == masks[name][:1]).all())
        assert block.inner.out_features == int(masks[name].any(0).sum())


@pytest.mark.parametrize("crossover", [Crossover(0, 10**9), Crossover(0, 1)], ids=["masked", "packed"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_cut_equals_masked(
    trained: tuple[ToMoE, dict[str, Tensor]],
    denoiser: TupleDenoiser,
    batches: list[TrainingBatch],
    crossover: Crossover,
    dtype: torch.dtype,
    tolerance: float,
) -> None:
    tomoe, masks = trained
    gates = copy.deepcopy(tomoe)
    gates.gates.denoiser.to(dtype)
    small = export(copy.deepcopy(denoiser).to(dtype), masks, tomoe.gates.routers())
    for block in blocks_of(small).values():
        block.crossover = crossover
    for batch in batches:
        (masked, _), cut = gates.run(batch, masks), outputs(small, batch)
        states = small.encode(batch.encoder)
        with gates.gates.obeying(masks):
            wanted = gates.gates.denoiser.encode(batch.encoder)
        keep = batch.encoder.keep
        assert float((states - wanted)[keep].abs().max()) <= tolerance * float(wanted[keep].abs().max())
        # the heads answer in float32
        assert torch.allclose(masked.tokens, cut.tokens, rtol=1e-5, atol=1e-4)
        assert torch.allclose(masked.wrong, cut.wrong, rtol=1e-5, atol=1e-4)


def test_members_are_places_in_the_union() -> None:
    masks = torch.tensor([[0, 1, 0, 1, 0, 0], [0, 0, 0, 1, 0, 1]]).bool()
    assert members(masks).tolist() == [0, 1, 1, 2]


def test_the_union_is_stored_once_and_exactly(
    folder: Path, denoiser: TupleDenoiser, trained: tuple[ToMoE, dict[str, Tensor]]
) -> None:
    stored, masks = load_file(folder / "weights.safetensors"), trained[1]
    dense = dict(denoiser.state_dict())
    for name in trained[0].gates.blocks:
        used = masks[name].any(0)
        assert torch.equal(stored[f"{name}.inner.weight"].float(), dense[f"{name}.inner.weight"][used])
        assert torch.equal(stored[f"{name}.inner.bias"].float(), dense[f"{name}.inner.bias"][used])
        assert torch.equal(stored[f"{name}.outer.weight"].float(), dense[f"{name}.outer.weight"][:, used])
        assert torch.equal(stored[f"{name}.outer.bias"].float(), dense[f"{name}.outer.bias"])
        assert stored[f"{name}.members"].dtype == torch.int32
        assert len(stored[f"{name}.members"]) == int(masks[name].sum())


def test_counts_by_config_are_those_of_the_file(folder: Path, routed: TupleDenoiser) -> None:
    stored, size = load_file(folder / "weights.safetensors"), model_size(routed.config)
    numbers = {name: tensor.numel() for name, tensor in stored.items() if tensor.is_floating_point()}
    assert size.stored == sum(numbers.values())
    assert size.members == sum(tensor.numel() for tensor in stored.values() if not tensor.is_floating_point())
    assert size.routers == sum(number for name, number in numbers.items() if name.endswith(".router")) == 4 * 4 * 32
    assert size.record()["bytes"] == sum(tensor.numel() * tensor.element_size() for tensor in stored.values())
    blocks = blocks_of(routed).values()
    idle = sum((block.inner.out_features - max(block.sizes)) * (2 * 32 + 1) for block in blocks)
    assert size.prunable - size.active == idle > 0
    whole = model_size(TupleDenoiser(routed.config).config)
    assert whole == size


def test_flops_count_the_router_and_the_widest_expert(routed: TupleDenoiser) -> None:
    size, config = model_size(routed.config), routed.config
    parts = {name: one.weight.numel() for name, one in routed.named_modules() if isinstance(one, torch.nn.Linear)}
    read = sum(number for name, number in parts.items() if name.startswith("encoder.blocks") and "attention" in name)
    read += sum(
        number for name, number in parts.items() if "cross_attention.key" in name or "cross_attention.value" in name
    )
    read += parts["decoder.copy_key"]
    for block in config.encoder_sizes:
        read += 2 * 32 * max(block.experts) + 4 * 32
    assert size.encoder_flops == 2 * read


def test_save_and_load_is_exact_and_inference_deterministic(
    folder: Path, routed: TupleDenoiser, batches: list[TrainingBatch]
) -> None:
    loaded = load_checkpoint(folder, precision="float32").denoiser
    state = loaded.state_dict()
    assert state.keys() == routed.state_dict().keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in routed.state_dict().items())
    for batch in batches:
        first, second, again = outputs(routed, batch), outputs(loaded, batch), outputs(loaded, batch)
        assert torch.equal(first.tokens, second.tokens) and torch.equal(first.wrong, second.wrong)
        assert torch.equal(second.tokens, again.tokens)


def test_the_folder_is_plain_and_loads_strictly(folder: Path, routed: TupleDenoiser, tmp_path: Path) -> None:
    record = json.loads((folder / "config.json").read_text("utf-8"))
    sizes = record["model"]["encoder_sizes"][0]
    assert sizes["experts"] == list(routed.config.encoder_sizes[0].experts)
    assert {path.suffix for path in folder.iterdir()} == {".json", ".safetensors"}
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for path in folder.iterdir():
        (damaged / path.name).write_bytes(path.read_bytes())
    weights = load_file(folder / "weights.safetensors")
    del weights["encoder.blocks.0.feed_forward.router"]
    save_file(weights, damaged / "weights.safetensors")
    with pytest.raises(CheckpointError, match="router"):
        load_checkpoint(damaged)


def test_caching_and_company_change_no_output(routed: TupleDenoiser, batches: list[TrainingBatch]) -> None:
    """Float64: a batch with padding against each example alone, and cached steps against whole answers."""
    small, batch = copy.deepcopy(routed).double(), batches[0]
    together = small.encode(batch.encoder)
    for row in range(len(batch.encoder.ids)):
        length = int(batch.encoder.keep[row].sum())
        parts = (
            getattr(batch.encoder, name)[row : row + 1, :length] for name in ("ids", "positions", "columns", "roles")
        )
        alone = small.encode(type(batch.encoder)(*parts))
        assert torch.allclose(together[row, :length], alone[0], rtol=0, atol=1e-10)
    answers = batch.answers
    whole = small.decode(together, batch.encoder, answers)
    first = int((answers.segments[0] == 1).sum())
    cache = DecoderCache(small.decoder.cross(together[:1]), [])
    mask = batch.encoder.keep[:1, None, None, :]
    for step in range(first):
        place = (slice(0, 1), slice(step, step + 1))
        embedded = small.embed_answers(answers.ids[place], answers.positions[place], answers.columns[place])
        hidden = small.decoder.step(embedded, cache, mask)
        assert torch.allclose(hidden[0, 0], whole[0, step], rtol=0, atol=1e-10)


def test_the_service_s_own_call_answers_with_it(folder: Path, people: Relation) -> None:
    loaded = load_checkpoint(folder, precision="float32")
    options = CompletionOptions((CompletionTarget(Cell(0, 1)), CompletionTarget(Cell(3, 4))), min_confidence=0.0)
    first = run_task(loaded, complete(loaded, people, options))
    second = run_task(loaded, complete(loaded, people, options))
    assert [one.value for one in first.completions] == [one.value for one in second.completions]
    assert len(first.completions) == 2


def test_experts_are_made_once(routed: TupleDenoiser, trained: tuple[ToMoE, dict[str, Tensor]]) -> None:
    with pytest.raises(ValueError, match="has experts already"):
        export(routed, trained[1], trained[0].gates.routers())


def test_one_call_trains_and_exports(denoiser: TupleDenoiser, batches: list[TrainingBatch]) -> None:
    steps: list[int] = []
    before = copy.deepcopy(denoiser.state_dict())
    made = make_experts(denoiser, batches[:2], ToMoEConfig(0.7, 2), lambda number, losses: steps.append(number))
    assert steps == [0, 1]
    assert all(len(block.experts) == 2 for block in made.config.blocks_of_encoder + made.config.blocks_of_decoder)
    assert all(torch.equal(tensor, before[name]) for name, tensor in denoiser.state_dict().items())
