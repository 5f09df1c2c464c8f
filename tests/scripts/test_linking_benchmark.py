"""The benchmark of linking: figures of pairs against the truth, and a command that fails is told."""

from __future__ import annotations

import sys

import pytest

from scripts.linking_benchmark import Cost, Run, measured

TRUTH = frozenset({(0, 0), (1, 1), (2, 2), (3, 3)})


def test_pairs_are_scored_at_a_threshold_and_at_the_best() -> None:
    run = Run(
        "one", {(0, 0): 0.9, (1, 1): 0.8, (5, 5): 0.8, (2, 2): 0.4, (6, 6): 0.1}, Cost(2.0, 3.4, 3_000_000_000), 5000
    )
    assert run.scored(TRUTH, 0.5) == (2 / 3, 0.5, 4 / 7)
    assert run.best(TRUTH) == pytest.approx(6 / 8)  # down to 0.4; ties at 0.8 come together
    assert run.line(TRUTH) == "| one | 2 | 3 | 2,500 | 3.0 | 0.667 | 0.500 | 0.571 | 0.750 |"


def test_a_command_is_measured_and_its_failure_told() -> None:
    said, cost = measured([sys.executable, "-c", "x = bytearray(60_000_000); print('done')"])
    assert said == "done\n" and cost.seconds > 0 and cost.cpu_seconds > 0
    assert cost.memory > 60_000_000
    with pytest.raises(RuntimeError, match="failed with 3:\nno"):
        measured([sys.executable, "-c", "import sys; sys.stderr.write('no'); sys.exit(3)"])
