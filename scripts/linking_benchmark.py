"""Link two tables of invented people, and print time, memory and F1 beside other open systems on the same files.

    python scripts/linking_benchmark.py [--people N] [--folder DIR] [--peers PYTHON] [--systems NAME …]

PYTHON is an interpreter of another environment, in which `pip install splink recordlinkage` was run; without it only
this project is measured. Each system is a process of its own that reads two CSV files and writes pairs; its time is
from start to end, by the clock and of all processors together, its memory the most that it held. Nobody sees the
truth; “best F1” takes, afterwards, the threshold that the truth likes best.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model.evaluation.people import invent_people

PEERS = ("splink", "recordlinkage")
OURS = "this project"
_PEERS_SCRIPT = Path(__file__).with_name("linking_peers.py")
_SEED = 0
_THRESHOLD = 0.5

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of the clock, seconds of all processors together, and the most memory that was held, in bytes."""

    seconds: float
    cpu_seconds: float
    memory: int


@dataclass(frozen=True, slots=True)
class Run:
    """What one system did: its pairs with probabilities, and what it cost."""

    name: str
    pairs: dict[Pair, float]
    cost: Cost
    compared: int | None = None

    def scored(self, truth: frozenset[Pair], threshold: float) -> tuple[float, float, float]:
        """Precision, recall and F1 of the pairs that are at least so probable."""
        found = {pair for pair, probability in self.pairs.items() if probability >= threshold}
        right = len(found & truth)
        return right / max(1, len(found)), right / max(1, len(truth)), 2 * right / max(1, len(found) + len(truth))

    def best(self, truth: frozenset[Pair]) -> float:
        """The best F1 of any threshold."""
        right, best = 0, 0.0
        ranked = sorted(self.pairs.items(), key=lambda one: -one[1])
        for number, (pair, probability) in enumerate(ranked):
            right += pair in truth
            if number + 1 == len(ranked) or ranked[number + 1][1] < probability:
                best = max(best, 2 * right / (number + 1 + len(truth)))
        return best

    def line(self, truth: frozenset[Pair]) -> str:
        """A row of the table."""
        precision, recall, f1 = self.scored(truth, _THRESHOLD)
        speed = f"{self.compared / self.cost.seconds:,.0f}" if self.compared else "–"
        spent = f"{self.cost.seconds:,.0f} | {self.cost.cpu_seconds:,.0f} | {speed} | {self.cost.memory / 1e9:.1f}"
        figures = (f"{precision:.3f}", f"{recall:.3f}", f"{f1:.3f}", f"{self.best(truth):.3f}")
        return f"| {self.name} | {spent} | {' | '.join(figures)} |"


def measured(command: Sequence[str]) -> tuple[str, Cost]:
    """What a command says on both streams, and what it cost.

    Raises:
        RuntimeError: it failed; what it said is in the message.
    """
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as said, subprocess.Popen(command, stdout=said, stderr=said, text=True) as child:
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - began
        said.seek(0)
        text = said.read()
    if child.returncode:
        raise RuntimeError(f"{command[0]} failed with {child.returncode}:\n{text[-2000:]}")
    return text, Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def run_ours(folder: Path) -> Run:
    """`rpt resolve` at its defaults."""
    rpt, pairs = Path(sys.executable).with_name("rpt"), folder / "ours.csv"
    files = [str(folder / name) for name in ("a.csv", "b.csv")]
    command = [str(rpt), "resolve", *files, "-o", str(folder / "golden.csv"), "--pairs", str(pairs)]
    said, cost = measured([*command, "--no-consolidate"])
    compared = re.search(r"([\d,]+) pairs compared", said)
    return Run(
        OURS,
        _read_pairs(pairs, ("left_row", "right_row")),
        cost,
        int(compared.group(1).replace(",", "")) if compared else None,
    )


def run_peer(name: str, python: str, folder: Path) -> Run:
    """One of the others."""
    pairs = folder / f"{name}.csv"
    files = [str(folder / "a.csv"), str(folder / "b.csv")]
    _, cost = measured([python, str(_PEERS_SCRIPT), name, *files, str(pairs)])
    return Run(name, _read_pairs(pairs, ("left", "right")), cost)


def _read_pairs(path: Path, columns: tuple[str, str]) -> dict[Pair, float]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        return {(int(row[columns[0]]), int(row[columns[1]])): float(row["probability"]) for row in rows}


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; gives 0."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--people", type=int, default=100_000, help="records of each table")
    parser.add_argument("--folder", type=Path, default=Path("runs/people"), help="where the tables and pairs go")
    parser.add_argument("--peers", help="a Python that has splink and recordlinkage")
    parser.add_argument("--systems", nargs="*", choices=(OURS, *PEERS), help="default: all that can be run")
    options = parser.parse_args(argv)
    people = invent_people(options.people, seed=_SEED)
    people.write(options.folder)
    wanted = options.systems or (OURS, *(PEERS if options.peers else ()))
    print(f"{options.people:,} x {options.people:,} people, {len(people.truth):,} in both, seed {_SEED}\n")
    print("| system | seconds | CPU seconds | pairs/s | peak GB | precision | recall | F1 at .5 | best F1 |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name in wanted:
        if name != OURS and not options.peers:
            parser.error(f"{name} needs --peers PYTHON")
        run = run_ours(options.folder) if name == OURS else run_peer(name, options.peers, options.folder)
        print(run.line(people.truth), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
