"""Transformation by example on the cases of TDE and of PROSE: cases whose outputs are all right, and single outputs.

A case is asked as a caller would ask: its examples and its inputs, nothing else. In a few cases of PROSE an input is a
list of column values; they are joined by a bar. An output that should be empty is right where the service abstains or
gives nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.adapters import with_adapter
from model.calibration import Calibrator
from model.checkpoint import Checkpoint
from model.errors import InputError
from model.evaluation.figures import Counts, EvaluationRow, EvaluationTable, Figure, Resampling, ratio
from model.evaluation.reliability import Reliability
from model.inference.batching import Progress, run_tasks
from model.inference.transformation import (
    ADAPTER,
    CALIBRATOR,
    Judged,
    TransformationOptions,
    TransformExample,
    decide,
    observe,
)

FOLDER = "transform"
SETS = {"tde": "TDE", "prose": "PROSE"}
JOINT = " | "
SURE = 0.9
"""Confidence at which wrong answers are counted."""


@dataclass(frozen=True, slots=True)
class TransformCase:
    """One program by its examples, and the inputs that it is asked for with the outputs that are right."""

    name: str
    examples: tuple[TransformExample, ...]
    tests: tuple[TransformExample, ...]


@dataclass(frozen=True, slots=True)
class Output:
    """What a system says of one input, None where it says nothing; confidence 0 where it does not tell any."""

    value: str | None
    confidence: float = 0.0


def read_cases(bench: Path, name: str) -> list[TransformCase]:
    """The cases of one set.

    Raises:
        InputError: the file is not there.
    """
    path = bench / FOLDER / f"{name}.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # splitlines() would cut inside strings
    except OSError as error:
        raise InputError(f"the benchmark folder has no {FOLDER}/{path.name}", field="bench") from error
    return [
        TransformCase(one["name"], _distinct(map(_pair, one["examples"])), tuple(map(_pair, one["tests"])))
        for one in map(json.loads, filter(None, lines))
    ]


def _pair(record: dict[str, str | list[str]]) -> TransformExample:
    given, wanted = record["input"], record["output"]
    assert isinstance(wanted, str)
    return TransformExample(given if isinstance(given, str) else JOINT.join(given), wanted)


def _distinct(examples: Iterable[TransformExample]) -> tuple[TransformExample, ...]:
    """Each input once: of two examples that contradict each other the first."""
    known: dict[str, TransformExample] = {}
    for example in examples:
        known.setdefault(example.input, example)
    return tuple(known.values())


def evaluate_transform(
    bench: Path, checkpoint: Checkpoint, resampling: Resampling | None = None, progress: Progress | None = None
) -> list[EvaluationTable]:
    """One table for each set: the service, programs alone, the network alone, and a copy of the input."""
    resampling = resampling or Resampling()
    return [_table(title, read_cases(bench, name), checkpoint, resampling, progress) for name, title in SETS.items()]


Outputs = list[list[Output]]
"""For each case what is said of each of its tests."""


def _table(
    title: str,
    cases: Sequence[TransformCase],
    checkpoint: Checkpoint,
    resampling: Resampling,
    progress: Progress | None,
) -> EvaluationTable:
    observed = observed_cases(checkpoint, cases, progress)
    assert checkpoint.calibration is not None
    calibrator = checkpoint.calibration[CALIBRATOR]
    served = [served_outputs(calibrator, case, judged) for case, judged in zip(cases, observed, strict=True)]
    systems: dict[str, Outputs] = {
        "programs and network": [[kept(one) for one in case] for case in served],
        "the same, never abstaining": served,
        "programs alone, the cheapest": _alone(cases, observed, lambda judged: judged.programs_first),
        "the network alone": _alone(cases, observed, lambda judged: judged.networks_first),
        "a copy of the input": [[Output(test.input) for test in case.tests] for case in cases],
    }
    rows = [EvaluationRow(name, transform_figures(cases, outputs, resampling)) for name, outputs in systems.items()]
    tests = sum(len(case.tests) for case in cases)
    notes = (
        "“cases”: share of the cases in which every output is right. An abstention is right only where the output "
        f"should be empty. “wrong of ≥ {SURE}”: share of the answers of at least this confidence that are wrong.",
    )
    reliability = transform_reliability(f"transform, {title}", cases, served, resampling)
    heading = f"{title} ({len(cases)} cases, {tests} outputs)"
    return EvaluationTable("transform", heading, tuple(rows), notes, (reliability,))


def observed_cases(
    checkpoint: Checkpoint, cases: Sequence[TransformCase], progress: Progress | None
) -> list[dict[str, Judged]]:
    """What is known of every input of every case."""
    weights = with_adapter(checkpoint, ADAPTER)
    tasks = (observe(weights, case.examples, [test.input for test in case.tests]) for case in cases)
    found = []
    for observed in run_tasks(checkpoint, tasks):
        found.append(observed.judged)
        if progress is not None:
            progress("transform", len(found), len(cases))
    return found


def served_outputs(calibrator: Calibrator, case: TransformCase, judged: dict[str, Judged]) -> list[Output]:
    """What the service answers where it is to answer everything, with its confidences."""
    options = TransformationOptions(min_confidence=0.0)
    answers = decide(calibrator, case.examples, [test.input for test in case.tests], judged, options)
    return [Output(one.output, one.confidence or 0.0) for one in answers]


def kept(one: Output) -> Output:
    """An answer as it is given by default: below one half there is none."""
    return one if one.confidence >= TransformationOptions().min_confidence else Output(None, one.confidence)


def _alone(
    cases: Sequence[TransformCase], observed: Sequence[dict[str, Judged]], said: Callable[[Judged], str | None]
) -> Outputs:
    """What one source says, without confidence; an input that is an example is answered by it."""
    outputs: Outputs = []
    for case, judged in zip(cases, observed, strict=True):
        known = {example.input: example.output for example in case.examples}
        outputs.append(
            [Output(said(judged[test.input]) if test.input in judged else known.get(test.input)) for test in case.tests]
        )
    return outputs


def is_right(test: TransformExample, output: Output) -> bool:
    """Whether an output is what it should be."""
    return (output.value or "") == test.output


def transform_figures(cases: Sequence[TransformCase], outputs: Outputs, resampling: Resampling) -> dict[str, Figure]:
    """Cases that are all right, single outputs, what was answered, and how often a sure answer is wrong; by case."""
    counted = []
    for case, said in zip(cases, outputs, strict=True):
        right = [is_right(test, one) for test, one in zip(case.tests, said, strict=True)]
        given = [one.value is not None for one in said]
        sure = [one.value is not None and one.confidence >= SURE for one in said]
        wrong = [one and not other for one, other in zip(sure, right, strict=True)]
        counted.append([all(right), 1, sum(right), len(right), sum(given), sum(sure), sum(wrong)])
    names = ("solved", "cases", "right", "outputs", "given", "sure", "wrong")
    counts = Counts(names, np.array(counted, dtype=np.int64).reshape(-1, len(names)), resampling)
    figures = {
        "cases": counts.figure(lambda sums: ratio(sums["solved"], sums["cases"])),
        "outputs": counts.figure(lambda sums: ratio(sums["right"], sums["outputs"])),
        "answered": counts.figure(lambda sums: ratio(sums["given"], sums["outputs"])),
    }
    if counts.values[:, names.index("sure")].any():
        figures[f"wrong of ≥ {SURE}"] = counts.figure(lambda sums: ratio(sums["wrong"], sums["sure"]))
    return figures


def transform_reliability(
    name: str, cases: Sequence[TransformCase], outputs: Outputs, resampling: Resampling
) -> Reliability:
    """Confidences of all answers against what is right; the outputs of a case err together."""
    said = [
        (number, one.confidence, is_right(test, one))
        for number, (case, of_case) in enumerate(zip(cases, outputs, strict=True))
        for test, one in zip(case.tests, of_case, strict=True)
        if one.value is not None
    ]
    units, confidences, right = zip(*said, strict=True) if said else ((), (), ())
    return Reliability(
        name, np.array(confidences, dtype=np.float64), np.array(right, dtype=bool), np.array(units, dtype=np.int64),
        resampling=resampling,
    )  # fmt: skip
