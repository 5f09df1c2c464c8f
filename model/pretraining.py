"""`python -m model.pretraining`: from a corpus folder to a checkpoint, on CPU or GPU alike.

    python -m model.pretraining --corpus DIR --run DIR --output DIR --steps 4000

The corpus may be one file as well, which `python -m model.packing` makes of the folder. The run folder holds
tokenizer and resume point; the same command goes on where it stopped. Validation is on `valid.jsonl.zst`, whose
repositories the training shards do not touch.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch

from model.architecture import TupleDenoiser
from model.checkpoint import load_checkpoint, save_checkpoint
from model.config import CorruptionConfig, ModelConfig, TrainingConfig
from model.corpus import TRAINING_SHARDS as TRAINING_SHARDS
from model.corpus import VALIDATION_SHARD as VALIDATION_SHARD
from model.corpus import Table
from model.dataset import TASKS, ExampleFactory, TrainingBatch, make_chunk
from model.packing import corpus_path, read_corpus, read_training_tables
from model.serialization import TupleSerializer
from model.tokenizer import TupleTokenizer
from model.training import Trainer
from model.warm_start import warm_start

logger = logging.getLogger(__name__)

CORRUPTION = CorruptionConfig(duplicate_rate=0.2)
"""What a window suffers; entities that are told twice teach the match head, beside conflicting sources."""

VALIDATION_EPISODES = 32
"""Windows of one chunk of validation."""

STORY = ("version", "commit", "steps", "encoder_tokens", "seconds", "started_from")
"""What a card keeps of the checkpoint that the weights were continued from."""

SHAPE = ("width", "heads", "feed_forward", "encoder_layers", "decoder_layers")
"""Fields of the model's configuration that the command line sets."""


def train_tokenizer(corpus: Path, vocabulary_size: int) -> TupleTokenizer:
    """BPE over names and distinct values of the training tables, 60 rows a table."""

    def texts() -> Iterator[str]:
        for table in read_training_tables(corpus, max_rows=60):
            yield from table.attributes
            for attribute in range(len(table.attributes)):
                column = table.part(range(len(table)), [attribute]).column(0)
                yield from (value[:400] for value in sorted({v for v in column if v}))

    return TupleTokenizer.train(texts(), vocabulary_size)


def for_validation(training: TrainingConfig, episodes: int) -> TrainingConfig:
    """The same windows in small batches, each padded to its longest: scores of the whole vocabulary are kept."""
    tokens = max(4096, training.max_tokens)
    return replace(training, batch_tokens=tokens, episodes_per_chunk=episodes, examples_per_episode=16, fixed_shapes=0)


@dataclass(frozen=True, slots=True)
class Validation:
    """What a denoiser says of some validation batches.

    Attributes:
        logits, wrong: of every labelled cell, its detection logit and 1 where it was corrupted.
        losses: of every task, the loss of each answer token.
        hits: of every task, whether all tokens of each answer are the likeliest after the true ones before them.
    """

    logits: np.ndarray
    wrong: np.ndarray
    losses: dict[str, list[float]]
    hits: dict[str, list[bool]]

    @classmethod
    def together(cls, parts: Sequence[Validation]) -> Validation:
        """Several as one."""
        return cls(
            np.concatenate([one.logits for one in parts]),
            np.concatenate([one.wrong for one in parts]),
            {task: [loss for one in parts for loss in one.losses[task]] for task in parts[0].losses},
            {task: [hit for one in parts for hit in one.hits[task]] for task in parts[0].hits},
        )

    def metrics(self) -> dict[str, float]:
        """Detection average precision and best F1; loss per answer token and exact match by task."""
        from sklearn.metrics import average_precision_score, precision_recall_curve

        precision, recall, _ = precision_recall_curve(self.wrong, self.logits)
        report = {
            "detection_average_precision": float(average_precision_score(self.wrong, self.logits)),
            "detection_best_f1": float((2 * precision * recall / (precision + recall + 1e-9)).max()),
        }
        report |= {f"{task}_loss": sum(losses) / len(losses) for task, losses in self.losses.items() if losses}
        report |= {f"{task}_exact_match": sum(hits) / len(hits) for task, hits in self.hits.items() if hits}
        return {name: round(value, 4) for name, value in report.items()}


@torch.no_grad()
def validate(
    denoiser: TupleDenoiser, factory: ExampleFactory, chunks: Sequence[int], precision: torch.dtype = torch.bfloat16
) -> Validation:
    """Judge some chunks of validation windows, which are other ones than any chunk of training.

    The denoiser is left as it was found, training or not.

    Args:
        precision: what linear maps are computed in; float32 is faster on a processor without 16-bit arithmetic.
    """
    was_training = denoiser.training
    denoiser.eval()
    device = next(denoiser.parameters()).device
    scores, wrong = [], []
    losses: dict[str, list[float]] = {task: [] for task in TASKS}
    hits: dict[str, list[bool]] = {task: [] for task in TASKS}
    for batch in (batch for chunk in chunks for batch in make_chunk(factory, 900_000_000 + chunk)):
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == torch.bfloat16):
            logits, correct, negative = _judge(denoiser, batch.to(device))
        scores.append(logits)
        wrong.append(batch.cell_wrong.numpy())
        for number, task in enumerate(TASKS):
            losses[task] += negative[batch.target_task.numpy() == number].tolist()
        for task, right in correct:
            hits[task].append(right)
    denoiser.train(was_training)
    return Validation(np.concatenate(scores), np.concatenate(wrong), losses, hits)


def _judge(denoiser: TupleDenoiser, batch: TrainingBatch) -> tuple[np.ndarray, list[tuple[str, bool]], np.ndarray]:
    """Detection logits, for each query whether every next token is the most likely one, and each token's loss."""
    states = denoiser.encode(batch.encoder)
    logits = denoiser.detect(states, batch.cell_example, batch.cell_index).cpu().numpy()
    hidden = denoiser.decode(states, batch.encoder, batch.answers)
    copy_keys = denoiser.copy_keys(states, batch.encoder)
    likelihoods = denoiser.next_token_log_probabilities(hidden, copy_keys, batch.encoder)
    likelihoods = likelihoods[batch.target_example, batch.target_index]  # (targets, vocabulary)
    negative = -likelihoods.gather(1, batch.target_id[:, None]).squeeze(1).cpu().numpy()
    right = likelihoods.argmax(-1) == batch.target_id
    segment = batch.answers.segments[batch.target_example, batch.target_index]
    answers: dict[tuple[int, int], tuple[str, bool]] = {}
    tasks = list(TASKS)
    columns = (batch.target_example, segment, batch.target_task, right)
    for example, number, task, good in zip(*(column.tolist() for column in columns), strict=True):
        _, before = answers.get((example, number), ("", True))
        answers[example, number] = (tasks[task], before and bool(good))
    return logits, list(answers.values()), negative


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; gives 0."""
    options = _parse(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    training = TrainingConfig(**{field.name: getattr(options, field.name) for field in fields(TrainingConfig)})
    corpus, run = corpus_path(options.corpus), Path(options.run)
    run.mkdir(parents=True, exist_ok=True)
    device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if options.threads:
        torch.set_num_threads(options.threads)
    config = ModelConfig(**{name: getattr(options, name) for name in SHAPE})
    first = load_checkpoint(options.start_from, precision="float32") if options.start_from else None
    if first is not None:
        config = first.config
        first.serializer.tokenizer.save(run / "tokenizer.json")
    tokenizer = _tokenizer(run / "tokenizer.json", corpus, config.vocabulary_size)
    serializer = TupleSerializer(tokenizer, config)
    torch.manual_seed(training.seed)
    denoiser = TupleDenoiser(config)
    if first is not None:
        denoiser.load_state_dict(first.denoiser.state_dict())
    elif options.initialization == "minilm":
        warm_start(denoiser, tokenizer)
    began = time.monotonic()
    tables, valid = read_corpus(corpus, options.max_rows)
    logger.info(
        "read %d training and %d validation tables in %.0f s", len(tables), len(valid), time.monotonic() - began
    )
    corruption = CORRUPTION
    trainer = Trainer(denoiser, ExampleFactory(tables, serializer, training, corruption), run, device, options.workers)
    if trainer.resume():
        logger.info("resumed at step %d", trainer.position.step)
    with (run / "log.jsonl").open("a", encoding="utf-8") as log:

        def write(record: dict[str, object]) -> None:
            log.write(json.dumps(record) + "\n")
            log.flush()
            logger.info("%s", record)

        trainer.run(options.max_seconds, write)
        small = for_validation(training, VALIDATION_EPISODES)
        judged = ExampleFactory(valid, serializer, small, corruption)
        metrics = validate(denoiser, judged, range(options.validation_chunks)).metrics()
        write({"validation": metrics, "step": trainer.position.step})
    card = _card(options, training, trainer, tables, metrics)
    if first is not None:
        card["started_from"] = {key: first.card.get(key) for key in STORY} | {"sha256": first.sha256}
    save_checkpoint(options.output, denoiser, tokenizer, card)
    return 0


def _tokenizer(path: Path, corpus: Path, vocabulary_size: int) -> TupleTokenizer:
    if not path.exists():
        train_tokenizer(corpus, vocabulary_size).save(path)
    return TupleTokenizer.load(path)


LIMITS = (
    "Text beyond max_name_tokens and max_value_tokens is cut for the model; such long values are never written.",
    "Numbers are repaired from other rows, not by arithmetic; a wrong but plausible number is rarely seen.",
    "Mostly English tables in Latin script; what other languages and scripts get has not been measured.",
    "An error that a whole column shares looks right: without an example it is not found.",
    "The tables it learned from are as their publishers left them, errors and biases included.",
)
"""What the model card warns of."""


def _card(
    options: argparse.Namespace,
    training: TrainingConfig,
    trainer: Trainer,
    tables: Sequence[Table],
    metrics: dict[str, float],
) -> dict[str, object]:
    licenses = {table.repository: table.license for table in tables}
    return {
        "name": options.name,
        "version": options.version,
        "license": "Apache-2.0",
        "data": {
            "tables": len(tables),
            "repositories": len(licenses),
            "licenses": dict(sorted(Counter(licenses.values()).items())),
            "sources": sorted(licenses),
        },
        "limits": list(LIMITS),
        "commit": _commit(),
        "initialization": options.initialization,
        "training": asdict(training),
        "corruption": asdict(CORRUPTION),
        "steps": trainer.position.step,
        "encoder_tokens": trainer.position.encoder_tokens,
        "seconds": round(trainer.position.seconds),
        "device": trainer.device.type,
        "validation": metrics,
    }


def _commit() -> str | None:
    """The commit that this file belongs to; None outside a repository."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="rpt pretrain", description="Pretrain the tuple denoiser on a corpus of tables."
    )
    parser.add_argument("--corpus", help="a folder, or what model.packing made of it; default: RPT_CORPUS")
    parser.add_argument("--run", required=True, help="folder of the run: tokenizer, resume point, log")
    parser.add_argument("--output", required=True, help="checkpoint folder to write at the end")
    parser.add_argument("--name", default="tuple-denoiser", help="name in the model card")
    parser.add_argument("--version", default="0.1.0", help="version in the model card")
    parser.add_argument("--initialization", choices=("minilm", "random"), default="random", help="where weights start")
    parser.add_argument("--start-from", help="checkpoint folder whose weights, shape and tokenizer to go on from")
    parser.add_argument("--device", help="cpu or cuda; default: cuda where there is one")
    parser.add_argument("--threads", type=int, default=0, help="torch threads; default: torch's own choice")
    parser.add_argument("--workers", type=int, default=1, help="processes that make batches")
    parser.add_argument("--max-rows", type=int, default=600, help="rows kept of each table")
    parser.add_argument("--max-seconds", type=float, help="stop after this time even if steps are left")
    parser.add_argument("--validation-chunks", type=int, default=6, help="chunks that validation reads")
    for name in SHAPE:
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=int, default=ModelConfig.__dataclass_fields__[name].default
        )
    for field in fields(TrainingConfig):
        kind = float if isinstance(field.default, float) else int
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=field.default)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
