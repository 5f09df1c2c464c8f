"""Options that the command and the experiment share: how a compressed model is tuned and judged."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from model.config import TrainingConfig

logger = logging.getLogger(__name__)

_LOG_EVERY = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add them to a parser."""
    parser.add_argument("--corpus", help="corpus folder; default: RPT_CORPUS")
    parser.add_argument("--model", type=Path, help="checkpoint folder to compress; default: the shipped one")
    parser.add_argument("--rank", type=int, default=32, help="rank of the low-rank changes")
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="peak of the schedule of tuning")
    parser.add_argument("--decision-rate", type=float, default=1e-2, help="peak of the schedule of decisions")
    parser.add_argument("--batch-tokens", type=int, default=1024, help="encoder tokens of one step")
    parser.add_argument("--max-tokens", type=int, default=256, help="encoder tokens of one example")
    parser.add_argument("--context-size", type=int, default=2, help="most context tuples behind a target")
    parser.add_argument("--windows", type=int, default=60, help="validation windows to judge on")
    parser.add_argument("--max-rows", type=int, default=120, help="rows kept of each table")
    parser.add_argument("--threads", type=int, default=0, help="torch threads; default: torch's own choice")


def tuning_config(options: argparse.Namespace, steps: int, seed: int) -> TrainingConfig:
    """How low-rank changes are tuned."""
    return TrainingConfig(
        seed=seed,
        steps=steps,
        warmup_steps=steps // 10,
        learning_rate=options.learning_rate,
        weight_decay=0.0,
        batch_tokens=options.batch_tokens,
        max_tokens=options.max_tokens,
        context_size=options.context_size,
        examples_per_episode=8,
    )


def log_some(record: dict[str, float]) -> None:
    """Log the figures of some steps."""
    if not record["step"] % _LOG_EVERY:
        logger.info("%s", {name: round(value, 4) for name, value in record.items()})
