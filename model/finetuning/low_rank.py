"""`python -m model.finetuning.low_rank`: train an adapter of a checkpoint for one task (LoRA), on CPU or GPU alike.

    python -m model.finetuning.low_rank match --corpus DIR --bench DIR --run DIR --output match.safetensors

The checkpoint's weights stay as they are; `model.adapters` says what is changed. Matching learns from corpus tables and
the labelled training pairs of the benchmark's sets; with `--leave-out NAME` from those of the other sets alone, so that
the adapter may be measured on that one. The other tasks learn from corpus tables alone.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch

from model.adapters import AdapterShape, attach, save_adapter
from model.checkpoint import Checkpoint, load_checkpoint
from model.config import TrainingConfig
from model.corpus import Table
from model.dataset import ExampleSource
from model.evaluation.benchmark import benchmark_folder
from model.evaluation.matching_sets import LABELLED_SETS, read_matching_set, related
from model.finetuning.extraction_examples import ExtractionFactory
from model.finetuning.matching_examples import MatchFactory
from model.finetuning.transform_examples import TransformFactory
from model.packing import corpus_path, read_training_tables
from model.training import Trainer

logger = logging.getLogger(__name__)

SHAPES = {
    "match": AdapterShape(32, ("encoder",), ("match",)),
    "extract": AdapterShape(64, ("encoder",), ("span",)),
    "transform": AdapterShape(
        64, ("encoder", "decoder"), ("decoder.output", "decoder.copy_query", "decoder.copy_key", "decoder.copy_gate")
    ),
}
"""What the adapter of each task changes."""


def train_adapter(
    checkpoint: Checkpoint,
    source: ExampleSource,
    shape: AdapterShape,
    run: Path,
    device: torch.device,
    workers: int = 1,
    max_seconds: float | None = None,
) -> Trainer:
    """Train a copy of the checkpoint's weights in the run folder, from its resume point where there is one."""
    torch.manual_seed(source.training.seed)
    denoiser = copy.deepcopy(checkpoint.denoiser).float()
    attach(denoiser, shape)
    trainer = Trainer(denoiser, source, run, device, workers)
    if trainer.resume():
        logger.info("resumed at step %d", trainer.position.step)
    with (run / "log.jsonl").open("a", encoding="utf-8") as log:

        def write(record: dict[str, object]) -> None:
            log.write(json.dumps(record) + "\n")
            log.flush()
            logger.info("%s", record)

        trainer.run(max_seconds, write)
    return trainer


def make_source(
    task: str,
    tables: Sequence[Table],
    checkpoint: Checkpoint,
    training: TrainingConfig,
    sets: Sequence[str],
    bench: Path,
) -> ExampleSource:
    """Where the examples of a task come from."""
    if task == "extract":
        return ExtractionFactory(tables, checkpoint.serializer, training)
    if task == "transform":
        return TransformFactory(tables, checkpoint.serializer, training)
    return MatchFactory(tables, [read_matching_set(bench, name) for name in sets], checkpoint.serializer, training)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; gives 0."""
    options = _parse(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    chosen: dict[str, Any] = {
        field.name: getattr(options, field.name) for field in fields(TrainingConfig) if field.name not in _SET
    }
    training = TrainingConfig(**chosen, **_NO_LOSS | _LOSSES[options.task])
    checkpoint = load_checkpoint(options.checkpoint, precision="float32")
    tables = read_training_tables(corpus_path(options.corpus), options.max_rows)
    left_out = related(options.leave_out) if options.leave_out else ()
    sets = [name for name in LABELLED_SETS if name not in left_out] if options.task == "match" else []
    bench = benchmark_folder(options.bench) if sets else Path()
    device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if options.threads:
        torch.set_num_threads(options.threads)
    source = make_source(options.task, tables, checkpoint, training, sets, bench)
    shape = SHAPES[options.task]
    trainer = train_adapter(checkpoint, source, shape, options.run, device, options.workers, options.max_seconds)
    card = {
        "task": options.task,
        "weights": checkpoint.sha256,
        "sets": sets,
        "tables": len(tables),
        "shape": asdict(shape),
        "training": asdict(training),
        "encoder_tokens": trainer.position.encoder_tokens,
        "seconds": round(trainer.position.seconds),
        "device": device.type,
    }
    save_adapter(options.output, trainer.denoiser, card)
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train an adapter of a checkpoint for one task.")
    parser.add_argument("task", choices=SHAPES)
    parser.add_argument("--corpus", help="a folder, or what model.packing made of it; default: RPT_CORPUS")
    parser.add_argument("--bench", help="folder of the benchmark, whose training pairs teach match; default: RPT_BENCH")
    parser.add_argument("--leave-out", choices=LABELLED_SETS, help="set of which nothing is learned")
    parser.add_argument("--checkpoint", help="checkpoint folder; default: the shipped one")
    parser.add_argument("--run", required=True, type=Path, help="folder of the run: resume point, log")
    parser.add_argument("--output", required=True, type=Path, help="file to write")
    parser.add_argument("--device", help="cpu or cuda; default: cuda where there is one")
    parser.add_argument("--threads", type=int, default=0, help="torch threads; default: torch's own choice")
    parser.add_argument("--workers", type=int, default=1, help="processes that make batches")
    parser.add_argument("--max-seconds", type=float, help="stop after this time even if steps are left")
    parser.add_argument("--max-rows", type=int, default=120, help="rows kept of each table")
    for field in (field for field in fields(TrainingConfig) if field.name not in _SET):
        kind = float if isinstance(field.default, float) else int
        default = _DEFAULTS.get(field.name, field.default)
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=default)
    return parser.parse_args(argv)


_DEFAULTS = {"steps": 600, "warmup_steps": 40, "learning_rate": 1.5e-3, "weight_decay": 0.0}
"""Where adapters differ from pretraining."""

_NO_LOSS: dict[str, Any] = {"answer_weight": 0.0, "detection_weight": 0.0, "match_weight": 0.0}
_LOSSES: dict[str, dict[str, Any]] = {
    "match": {"match_weight": 1.0},
    "extract": {"questions": 5},
    "transform": {"answer_weight": 1.0},
}
"""The one loss of each task; the others are left out. Questions are how many a fixed shape has room for."""

_SET = {*_NO_LOSS, "questions"}


if __name__ == "__main__":
    sys.exit(main())
