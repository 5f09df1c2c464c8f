"""A cut model is the masked one: states, logits, beams, with padding and cache; and its folder rebuilds it exactly."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from model.adapters import with_adapter
from model.architecture import DecoderCache, TupleDenoiser
from model.checkpoint import Checkpoint, load_checkpoint
from model.compression.cutting import cut, save_cut
from model.compression.masking import MaskedDenoiser
from model.compression.structures import full_masks, model_size
from model.dataset import TASKS, TrainingBatch, collate_inputs
from model.errors import CheckpointError, InputError
from model.inference.batching import run_task
from model.inference.cleaning import clean
from model.inference.generation import AnswerQuery, ScoredValue, answer_queries
from model.serialization import EncoderInput
from model.tuples import Relation

DTYPES = [(torch.float64, 1e-10), (torch.float32, 1e-5)]
Pair = tuple[TupleDenoiser, TupleDenoiser]


def masked_and_cut(denoiser: TupleDenoiser, masks: dict[str, Tensor], dtype: torch.dtype) -> Pair:
    exact = copy.deepcopy(denoiser).to(dtype)
    masked = MaskedDenoiser(exact)
    masked.show(masks)
    return masked.denoiser, cut(exact, masks)


def outputs(denoiser: TupleDenoiser, batch: TrainingBatch) -> dict[str, Tensor]:
    """Hidden states in the model's type; logits are float32 whatever its type."""
    with torch.inference_mode():
        states = denoiser.encode(batch.encoder)
        hidden = denoiser.decode(states, batch.encoder, batch.answers)
        copy_keys = denoiser.copy_keys(states, batch.encoder)
        likelihoods = denoiser.next_token_log_probabilities(hidden, copy_keys, batch.encoder)
        return {
            "states": states[batch.encoder.keep],
            "hidden": hidden[batch.answers.segments > 0],
            "copy_keys": copy_keys[batch.encoder.keep],
            "vocabulary": denoiser.decoder.output_norm(denoiser.decoder.output(hidden))[batch.answers.segments > 0],
            "detection": denoiser.detect(states, batch.cell_example, batch.cell_index),
            "next": likelihoods[batch.answers.segments > 0],
        }


def relative(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max())


def assert_same(smaller: TupleDenoiser, masked: TupleDenoiser, batch: TrainingBatch, limit: float) -> None:
    found, wanted = outputs(smaller, batch), outputs(masked, batch)
    dtype = wanted["states"].dtype
    for name, tensor in found.items():
        assert relative(tensor, wanted[name]) < (limit if tensor.dtype == dtype else 1e-5), name
    assert torch.equal(found["next"].argmax(-1), wanted["next"].argmax(-1))


@pytest.mark.parametrize(("dtype", "limit"), DTYPES, ids=str)
def test_cut_and_masked_agree_on_padded_batches(
    denoiser: TupleDenoiser, batches: list[TrainingBatch], masks: dict[str, Tensor], dtype: torch.dtype, limit: float
) -> None:
    masked, smaller = masked_and_cut(denoiser, masks, dtype)
    assert relative(outputs(masked, batches[0])["states"], outputs(denoiser, batches[0])["states"].to(dtype)) > 0.1
    for batch in batches:
        assert_same(smaller, masked, batch, limit)


def test_cutting_any_one_structure_agrees(
    denoiser: TupleDenoiser, batches: list[TrainingBatch], masks: dict[str, Tensor]
) -> None:
    for structure in MaskedDenoiser(denoiser).structures:
        one = full_masks(MaskedDenoiser(denoiser).structures) | {structure.name: masks[structure.name]}
        masked, smaller = masked_and_cut(denoiser, one, torch.float64)
        assert_same(smaller, masked, batches[0], 1e-10)


def test_another_scale_would_be_seen(
    denoiser: TupleDenoiser, batches: list[TrainingBatch], masks: dict[str, Tensor]
) -> None:
    masked, smaller = masked_and_cut(denoiser, masks, torch.float64)
    attention = smaller.encoder.blocks[0].attention
    attention.scale = (attention.query.out_features // attention.heads) ** -0.5  # type: ignore[union-attr,operator]
    assert relative(outputs(smaller, batches[0])["states"], outputs(masked, batches[0])["states"]) > 1e-4


@pytest.fixture(scope="module")
def inputs(bare_checkpoint: Checkpoint, people: Relation) -> list[EncoderInput]:
    """32 real tuples of different lengths, each behind up to three others."""
    serializer, rows = bare_checkpoint.serializer, people.tuples
    return [
        serializer.serialize(
            list(people.attributes), list(rows[number]), [list(rows[number + 1 + n]) for n in range(number % 4)]
        )
        for number in range(32)
    ]


@pytest.mark.parametrize("batch_size", [1, 32])
def test_beams_write_and_score_the_same(
    bare_checkpoint: Checkpoint, inputs: list[EncoderInput], masks: dict[str, Tensor], batch_size: int
) -> None:
    queries = [[AnswerQuery("repair", 2, ("Denver",)), AnswerQuery("fill", 4)]] * batch_size
    batch = collate_inputs(inputs[:batch_size])
    answers = []
    for denoiser in masked_and_cut(bare_checkpoint.denoiser, masks, torch.float32):
        with torch.inference_mode():
            states = denoiser.encode(batch)
            answers.append(answer_queries(replace(bare_checkpoint, denoiser=denoiser), states, batch, queries))
    masked, smaller = answers
    assert [[[one.value for one in query] for query in row] for row in smaller] == [
        [[one.value for one in query] for query in row] for row in masked
    ]
    assert len({one.value for row in smaller for query in row for one in query}) > 1
    for one, other in zip(_flat(smaller), _flat(masked), strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-4)


def _flat(answers: list[list[list[ScoredValue]]]) -> list[float]:
    return [one.log_probability for row in answers for query in row for one in query]


def written(denoiser: TupleDenoiser, inputs: list[EncoderInput], column: int, steps: int) -> tuple[Tensor, ...]:
    """States of real tokens, and the tokens and hidden states of greedy steps with the cache."""
    batch = collate_inputs(inputs)
    with torch.inference_mode():
        states = denoiser.encode(batch)
        copy_keys, cache = denoiser.copy_keys(states, batch), DecoderCache(denoiser.decoder.cross(states), [])
        token = torch.full((len(inputs), 1), int(TASKS["repair"]))
        columns, tokens, hiddens = torch.full_like(token, column), [], []
        for step in range(steps):
            position = torch.full_like(token, denoiser.config.value_position + step)
            embedded = denoiser.embed_answers(token, position, columns)
            hidden = denoiser.decoder.step(embedded, cache, batch.keep[:, None, None, :])
            token = denoiser.next_token_log_probabilities(hidden, copy_keys, batch).argmax(-1)
            tokens.append(token)
            hiddens.append(hidden)
    return states[batch.keep], torch.cat(tokens, 1), torch.cat(hiddens, 1)


@pytest.mark.parametrize(("dtype", "limit"), DTYPES, ids=str)
def test_greedy_answers_with_a_cache_are_the_same(
    denoiser: TupleDenoiser, inputs: list[EncoderInput], masks: dict[str, Tensor], dtype: torch.dtype, limit: float
) -> None:
    masked, smaller = masked_and_cut(denoiser, masks, dtype)
    (_, masked_ids, masked_hidden), (_, ids, hidden) = (written(one, inputs, 3, 6) for one in (masked, smaller))
    assert torch.equal(ids, masked_ids)
    assert len(set(ids.flatten().tolist())) > 2
    assert relative(hidden, masked_hidden) < limit


def test_the_saved_folder_rebuilds_the_cut_model_exactly(
    checkpoint: Checkpoint, masks: dict[str, Tensor], people: Relation, tmp_path: Path
) -> None:
    smaller = cut(checkpoint.denoiser, masks)
    save_cut(tmp_path / "cut", smaller, checkpoint, {"method": "atp"})
    loaded = load_checkpoint(tmp_path / "cut", precision="float32")
    assert loaded.config == smaller.config
    for name, tensor in smaller.state_dict().items():
        assert torch.equal(loaded.denoiser.state_dict()[name], tensor.half().float()), name
    size = model_size(loaded.config)
    stored = sum(tensor.numel() for tensor in load_file(tmp_path / "cut" / "weights.safetensors").values())
    assert stored == size.stored == loaded.parameters < checkpoint.parameters
    assert loaded.card["compression"]["size"] == size.record()
    assert loaded.card["compression"]["dense"]["sha256"] == checkpoint.sha256
    assert loaded.calibration is not None and loaded.names is not None
    repaired = run_task(loaded, clean(loaded, people))
    assert repaired.repairs


def test_what_holds_no_weights_goes_along(checkpoint: Checkpoint, masks: dict[str, Tensor], tmp_path: Path) -> None:
    save_cut(tmp_path / "cut", cut(checkpoint.denoiser, masks), checkpoint, {"method": "atp"})
    for name in ("judges.safetensors", "names.safetensors", "values.safetensors"):
        assert (tmp_path / "cut" / name).read_bytes() == (checkpoint.path / name).read_bytes()


def test_tasks_whose_adapter_fits_the_dense_model_only_are_refused(
    checkpoint: Checkpoint, masks: dict[str, Tensor], tmp_path: Path
) -> None:
    save_cut(tmp_path / "cut", cut(checkpoint.denoiser, masks), checkpoint, {"method": "atp"})
    loaded = load_checkpoint(tmp_path / "cut", precision="float32")
    assert loaded.card["compression"]["adapters_left_out"] == ["extract", "transform"]
    assert any("extract, transform" in limit for limit in loaded.card["limits"])
    with pytest.raises(InputError, match="cut to fewer parameters"):
        with_adapter(loaded, "extract")


def test_weights_and_sizes_that_disagree_are_refused(
    checkpoint: Checkpoint, masks: dict[str, Tensor], tmp_path: Path
) -> None:
    save_cut(tmp_path / "cut", cut(checkpoint.denoiser, masks), checkpoint, {"method": "atp"})
    place = tmp_path / "cut" / "config.json"
    record = json.loads(place.read_text())
    record["model"]["encoder_sizes"][0]["feed_forward"] += 1
    place.write_text(json.dumps(record))
    with pytest.raises(CheckpointError, match="cannot load weights"):
        load_checkpoint(tmp_path / "cut")
    record["model"]["encoder_sizes"][0]["unheard_of"] = 1
    place.write_text(json.dumps(record))
    with pytest.raises(CheckpointError, match="does not fit"):
        load_checkpoint(tmp_path / "cut")


def test_the_config_of_an_uncut_model_names_no_sizes(checkpoint: Checkpoint) -> None:
    record = json.loads((checkpoint.path / "config.json").read_text())
    assert not {"encoder_sizes", "decoder_sizes"} & record["model"].keys()


def test_undecided_and_empty_masks_are_refused(denoiser: TupleDenoiser, masks: dict[str, Tensor]) -> None:
    name = next(iter(masks))
    with pytest.raises(ValueError, match="not decided"):
        cut(denoiser, masks | {name: masks[name] * 0.5})
    with pytest.raises(ValueError, match="all its units"):
        cut(denoiser, masks | {name: torch.zeros_like(masks[name])})
