"""Configurations: defaults that fit together, impossible combinations refused when they are made."""

from __future__ import annotations

from typing import Any

import pytest

from model.config import CorruptionConfig, ModelConfig, TrainingConfig


def test_a_cell_has_a_position_for_every_token_it_may_hold() -> None:
    config = ModelConfig(max_name_tokens=8, max_value_tokens=16, max_context=3)
    assert config.value_position == 10  # [A] at 0, eight tokens of the name, one free
    assert config.positions == 28  # [V] at 10, sixteen tokens of the value, [END] at 27
    assert config.roles == 5  # task, target, three context tuples


@pytest.mark.parametrize(
    "fields",
    [
        {"width": 100, "heads": 12},
        {"encoder_layers": 0},
        {"decoder_layers": 0},
        {"max_value_tokens": 0},
        {"max_attributes": 0},
        {"max_context": -1},
        {"dropout": 1.0},
        {"dropout": -0.1},
    ],
)
def test_an_impossible_model_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        ModelConfig(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"steps": 0, "warmup_steps": 0},
        {"steps": 10, "warmup_steps": 10},
        {"warmup_steps": -1},
        {"batch_tokens": 511, "max_tokens": 512},
    ],
)
def test_an_impossible_run_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        TrainingConfig(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"missing": -1.0},
        {"missing": float("nan")},
        {"run_rate": 1.1},
        {"min_error_rate": 0.0},
        {"min_error_rate": 0.03, "typical_min_error_rate": 0.02},
        {"min_operators": 6, "max_operators": 5},
        {"max_run": 1},
        {"min_sources": 1},
    ],
)
def test_an_impossible_corruption_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        CorruptionConfig(**fields)
