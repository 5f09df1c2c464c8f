"""`python -m model.compression.speed`: how much faster compressed checkpoints read and write than the dense one.

    python -m model.compression.speed DIR [DIR …] [--model DENSE_DIR] [--eight-bit] [--threads 1]

All models take turns on the same inputs, so that what else the machine does meets all. Reading is the encoder with
detection; writing is eight steps of a beam search's width with the cache, whatever the tokens are. With --eight-bit
the dense model also runs with the matrices of its linear maps in 8 bits, by torch's dynamic quantization. Read the
ratios: rows per second belong to the machine.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

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
def measure(models: Sequence[TupleDenoiser], batch: EncoderBatch, job: str, repeats: int) -> np.ndarray:
    """Seconds of each model in turns, (models, repeats)."""
    for model in models:
        JOBS[job](model, batch)
    seconds = np.zeros((len(models), repeats))
    for repeat in range(repeats):
        for place, model in enumerate(models):
            began = time.perf_counter()
            JOBS[job](model, batch)
            seconds[place, repeat] = time.perf_counter() - began
    return seconds


def eight_bit(denoiser: TupleDenoiser) -> TupleDenoiser:
    """A copy whose linear maps hold their matrices in 8 bits; what they read is quantized as it comes.

    Args:
        denoiser: in float32.
    """
    with warnings.catch_warnings():  # torch moves quantization to a package of its own, which would be one more to need
        warnings.simplefilter("ignore")
        from torch.ao.quantization import quantize_dynamic

        made = quantize_dynamic(denoiser, {nn.Linear}, dtype=torch.qint8)  # type: ignore[no-untyped-call]
    assert isinstance(made, TupleDenoiser)
    return made


def lines(names: Sequence[str], job: str, rows: int, seconds: np.ndarray) -> list[str]:
    """Rows per second at the median and at the slow end, and how many times as fast as the first model each is.

    Args:
        seconds: as `measure` gives them.
    """
    middle, slow = np.quantile(seconds, (0.5, 0.95), axis=1)
    return [
        f"| {job} | {rows} | {name} | {rows / middle[place]:.1f} / {rows / slow[place]:.1f} | "
        f"{middle[0] / middle[place]:.2f} / {slow[0] / slow[place]:.2f} |"
        for place, name in enumerate(names)
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; gives 0."""
    parser = argparse.ArgumentParser(
        prog="python -m model.compression.speed", description="Time compressed checkpoints beside the dense one."
    )
    parser.add_argument("compressed", type=Path, nargs="*", help="compressed checkpoint folders")
    parser.add_argument("--model", type=Path, help="the dense checkpoint folder; default: the shipped one")
    parser.add_argument("--eight-bit", action="store_true", help="time the dense model in 8 bits as well")
    parser.add_argument("--threads", type=int, default=1, help="torch threads; default: 1")
    parser.add_argument("--seconds", type=float, default=6.0, help="time for each job and number of tuples")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    names = ["dense", *(folder.name for folder in options.compressed)]
    if len(set(names)) < len(names):
        parser.error("folders are told apart by their names, none of which is 'dense'")
    dense = load_checkpoint(options.model)
    compressed = [load_checkpoint(folder).denoiser for folder in options.compressed]
    models = dict(zip(names, [dense.denoiser, *compressed], strict=True))
    if options.eight_bit:
        models["dense, 8 bits"] = eight_bit(load_checkpoint(options.model, precision="float32").denoiser)
    print(f"{dense.precision}, {options.threads} threads")
    print("| job | tuples | model | rows/s p50 / p95 | times as fast p50 / p95 |")
    print("|---|---|---|---|---|")
    for job in JOBS:
        for rows in ROWS:
            batch = make_batch(dense, rows)
            once = float(measure(list(models.values()), batch, job, 1).sum())
            repeats = int(np.clip(options.seconds / once, 5, 200))
            seconds = measure(list(models.values()), batch, job, repeats)
            print("\n".join(lines(list(models), job, rows, seconds)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
