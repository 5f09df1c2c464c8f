"""`python -m model.compression.speed`: how much faster a compressed checkpoint reads and writes than the dense one.

    python -m model.compression.speed SMALL_DIR [--model DENSE_DIR] [--threads 1]

Both models take turns on the same inputs, so that what else the machine does meets both. Reading is the encoder with
detection; writing is eight steps of a beam search's width with the cache, whatever the tokens are. Read the ratios:
rows per second belong to the machine.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from model.architecture import DecoderCache, EncoderBatch, TupleDenoiser
from model.checkpoint import Checkpoint, load_checkpoint
from model.dataset import TASKS, collate_inputs
from model.inference.generation import BEAMS

ROWS = (1, 8, 64)
_CONTEXT = 4
_STEPS = 8


def make_batch(checkpoint: Checkpoint, rows: int) -> EncoderBatch:
    """Made-up tuples of six attributes, each behind four others."""
    names = ["id", "name", "street", "zip", "city", "state"]

    def row(number: int) -> list[str]:
        place = ("Birmingham", "AL") if number % 2 else ("San Francisco", "CA")
        return [f"P{number:04d}", f"Anna Weber {number % 7}", f"{number} Market Street", f"9{number:04d}", *place]

    inputs = [
        checkpoint.serializer.serialize(names, list(row(n)), [list(row(n + 1 + m)) for m in range(_CONTEXT)])
        for n in range(rows)
    ]
    return collate_inputs(inputs)


def read(denoiser: TupleDenoiser, batch: EncoderBatch) -> None:
    """Encode and judge the first cell."""
    states = denoiser.encode(batch)
    example = torch.arange(len(states))
    denoiser.detect(states, example, torch.zeros_like(example))


def write(denoiser: TupleDenoiser, batch: EncoderBatch) -> None:
    """Read, then eight tokens for each beam of each tuple."""
    states = denoiser.encode(batch)
    copy_keys, cache = denoiser.copy_keys(states, batch), DecoderCache(denoiser.decoder.cross(states), [])
    token = torch.full((len(states), BEAMS), int(TASKS["repair"]))
    column, mask = torch.ones_like(token), batch.keep[:, None, None, :]
    for step in range(_STEPS):
        position = torch.full_like(token, denoiser.config.value_position + step)
        hidden = denoiser.decoder.step(denoiser.embed_answers(token, position, column), cache, mask)
        token = denoiser.next_token_log_probabilities(hidden, copy_keys, batch).argmax(-1)


JOBS: dict[str, Callable[[TupleDenoiser, EncoderBatch], None]] = {"read": read, "read and write": write}


@torch.inference_mode()
def measure(dense: Checkpoint, small: Checkpoint, rows: int, job: str, repeats: int) -> np.ndarray:
    """Seconds of the dense and of the small model in turns, (2, repeats)."""
    batch = make_batch(dense, rows)
    models = (dense.denoiser, small.denoiser)
    for model in models:
        JOBS[job](model, batch)
    seconds = np.zeros((2, repeats))
    for repeat in range(repeats):
        for place, model in enumerate(models):
            began = time.perf_counter()
            JOBS[job](model, batch)
            seconds[place, repeat] = time.perf_counter() - began
    return seconds


def line(job: str, rows: int, seconds: np.ndarray) -> str:
    """Rows per second at the median and at the slow end, and how many times as fast the small model is."""
    (dense_50, small_50), (dense_95, small_95) = np.quantile(seconds, (0.5, 0.95), axis=1)
    return (
        f"| {job} | {rows} | {rows / dense_50:.1f} / {rows / dense_95:.1f} | {rows / small_50:.1f} / "
        f"{rows / small_95:.1f} | {dense_50 / small_50:.2f} / {dense_95 / small_95:.2f} |"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; gives 0."""
    parser = argparse.ArgumentParser(
        prog="python -m model.compression.speed", description="Time a compressed checkpoint beside the dense one."
    )
    parser.add_argument("small", type=Path, help="the compressed checkpoint folder")
    parser.add_argument("--model", type=Path, help="the dense checkpoint folder; default: the shipped one")
    parser.add_argument("--threads", type=int, default=1, help="torch threads; default: 1")
    parser.add_argument("--seconds", type=float, default=6.0, help="time for each line of the table")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    dense, small = load_checkpoint(options.model), load_checkpoint(options.small)
    print("| job | tuples | dense, rows/s p50 / p95 | compressed, rows/s p50 / p95 | times as fast p50 / p95 |")
    print("|---|---|---|---|---|")
    for job in JOBS:
        for rows in ROWS:
            once = float(measure(dense, small, rows, job, 1).sum())
            repeats = int(np.clip(options.seconds / once, 5, 200))
            print(line(job, rows, measure(dense, small, rows, job, repeats)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
