"""The shipped model cut is the shipped model masked, on a thousand real tuples: `RPT_CORPUS=DIR pytest -m slow`."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.checkpoint import Checkpoint, load_checkpoint
from model.compression.structures import denoiser_structures, full_masks
from model.corpus import VALIDATION_SHARD, read_tables
from model.dataset import collate_inputs
from model.inference.generation import AnswerQuery, answer_queries
from model.inference.reading import Reader
from model.serialization import EncoderInput
from tests.model.compression.test_cutting import DTYPES, masked_and_cut, relative, written

TUPLES, KEPT, STEPS = 1000, 0.6, 4


@pytest.fixture(scope="module")
def shipped() -> Checkpoint:
    return load_checkpoint(precision="float32")


@pytest.fixture(scope="module")
def masks(shipped: Checkpoint) -> dict[str, Tensor]:
    """Units kept at random: what a cut removes is not the question here."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.rand(mask.shape, generator=generator) < KEPT
        for name, mask in full_masks(denoiser_structures(shipped.denoiser.config)).items()
    }


@pytest.fixture(scope="module")
def inputs(shipped: Checkpoint) -> list[EncoderInput]:
    """Tuples of validation tables, each with its context."""
    folder = os.environ.get("RPT_CORPUS")
    if not folder:
        pytest.skip("RPT_CORPUS names no corpus folder")
    found: list[EncoderInput] = []
    for table in read_tables(Path(folder) / VALIDATION_SHARD, 40):
        reader = Reader(shipped, table.relation)
        found += [reader.encoder_input(row, 0) for row in range(0, len(table.relation), 4)]
    return [one for one in found if len(one) <= 256][:TUPLES]


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 32])
@pytest.mark.parametrize(("dtype", "limit"), DTYPES, ids=str)
def test_a_thousand_tuples_are_read_and_written_the_same(
    shipped: Checkpoint,
    inputs: list[EncoderInput],
    masks: dict[str, Tensor],
    dtype: torch.dtype,
    limit: float,
    size: int,
) -> None:
    assert len(inputs) == TUPLES
    masked, smaller = masked_and_cut(shipped.denoiser, masks, dtype)
    for start in range(0, TUPLES, size):
        wanted, found = (written(one, inputs[start : start + size], 1, STEPS) for one in (masked, smaller))
        assert relative(found[0], wanted[0]) < limit
        assert relative(found[2], wanted[2]) < limit
        assert torch.equal(found[1], wanted[1])


@pytest.mark.slow
def test_beams_write_the_same(shipped: Checkpoint, inputs: list[EncoderInput], masks: dict[str, Tensor]) -> None:
    for start in range(0, TUPLES, 250):
        batch = collate_inputs(inputs[start : start + 8])
        queries = [[AnswerQuery("repair", 1), AnswerQuery("fill", 1)]] * 8
        answers = []
        for denoiser in masked_and_cut(shipped.denoiser, masks, torch.float64):
            with torch.inference_mode():
                states = denoiser.encode(batch)
                answers.append(answer_queries(replace(shipped, denoiser=denoiser), states, batch, queries))
        values = [[one.value for row in answer for query in row for one in query] for answer in answers]
        assert values[0] == values[1] and len(set(values[0])) > 1
