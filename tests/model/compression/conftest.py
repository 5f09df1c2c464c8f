"""Masks and batches of the tiny model."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

from model.compression.structures import denoiser_structures
from model.config import CorruptionConfig, ModelConfig, TrainingConfig
from model.corpus import CorpusTable
from model.dataset import ExampleFactory, TrainingBatch, make_chunk
from model.serialization import TupleSerializer

TRAINING = TrainingConfig(
    seed=3,
    steps=12,
    warmup_steps=2,
    batch_tokens=160,
    max_tokens=160,
    learning_rate=5e-3,
    weight_decay=0.0,
    context_size=1,
    episodes_per_chunk=2,
    examples_per_episode=4,
)


@pytest.fixture(scope="session")
def source(tables: list[CorpusTable], serializer: TupleSerializer) -> ExampleFactory:
    """Examples of tiny tables."""
    return ExampleFactory(tables, serializer, TRAINING, CorruptionConfig())


@pytest.fixture(scope="session")
def batches(source: ExampleFactory) -> list[TrainingBatch]:
    """Batches of examples of different lengths, so that there is padding."""
    made = make_chunk(source, 0)
    assert any(bool((batch.encoder.ids == 0).any()) for batch in made)
    return made


@pytest.fixture(scope="session")
def masks(config: ModelConfig) -> dict[str, Tensor]:
    """About 40 % of the units of every structure are off, other ones in each."""
    rng, drawn = random.Random(0), {}
    for structure in denoiser_structures(config):
        kept = sorted(rng.sample(range(structure.units), max(1, round(0.6 * structure.units))))
        drawn[structure.name] = torch.zeros(structure.units, dtype=torch.bool)
        drawn[structure.name][kept] = True
    return drawn
