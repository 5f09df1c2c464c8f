"""How fast training examples are made here, and what the corpus takes in memory.

    python scripts/examples_benchmark.py CORPUS [--workers 0 1 2] [--chunks N]

CORPUS is a folder, or what `model.packing` made of it. Tokens are encoder tokens without padding. Those of a CPU second
hold on a busy machine too; those of a second of the clock only while nothing else runs.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from model.config import CorruptionConfig, ModelConfig, TrainingConfig
from model.corpus import Table
from model.dataset import ChunkDataset, ExampleFactory, TrainingBatch
from model.packing import read_training_tables
from model.serialization import TupleSerializer
from model.tokenizer import TupleTokenizer

TOKENIZER = Path(__file__).parent.parent / "model" / "checkpoints" / "default" / "tokenizer.json"
WARMING_CHUNK = 10**9


def cpu_seconds() -> tuple[float, float]:
    """CPU time of this process, and of the workers that have ended."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime, children.ru_utime + children.ru_stime


def measure(tables: Sequence[Table], workers: int, chunks: int) -> str:
    """One line: tokens of a second, of the clock and of a CPU, where `workers` processes make the batches."""
    serializer = TupleSerializer(TupleTokenizer.load(TOKENIZER), ModelConfig())
    factory = ExampleFactory(tables, serializer, TrainingConfig(), CorruptionConfig())
    list(ChunkDataset(factory, WARMING_CHUNK, 1)[0])
    loader: DataLoader[list[TrainingBatch]] = DataLoader(
        ChunkDataset(factory, 0, chunks),
        batch_size=None,
        num_workers=workers,
        multiprocessing_context="fork" if workers else None,
    )
    began, (own, children) = time.monotonic(), cpu_seconds()
    tokens = sum(int(batch.encoder.keep.sum()) for batches in loader for batch in batches)
    del loader
    wall, (own_after, children_after) = time.monotonic() - began, cpu_seconds()
    figures = [f"{workers} workers: {tokens} tokens, {tokens / wall:,.0f} of a second"]
    if workers:
        figures.append(f"{tokens / (children_after - children):,.0f} of a CPU second of the workers")
    figures.append(f"{tokens / (own_after - own):,.0f} of a CPU second of the process that trains")
    return ", ".join(figures)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; gives 0."""
    parser = argparse.ArgumentParser(description="Measure how fast training examples are made.")
    parser.add_argument("corpus", type=Path, help="corpus folder or packed corpus")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2], help="processes that make batches")
    parser.add_argument("--chunks", type=int, default=16, help="chunks of each measurement")
    parser.add_argument("--max-rows", type=int, default=600, help="rows kept of each table")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    began = time.process_time()
    tables = read_training_tables(options.corpus, options.max_rows)
    taken = time.process_time() - began
    resident = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    print(f"{len(tables)} tables read in {taken:.1f} CPU seconds; {resident / 1e6:.0f} MB resident")
    for workers in options.workers:
        print(measure(tables, workers, options.chunks))
    return 0


if __name__ == "__main__":
    sys.exit(main())
