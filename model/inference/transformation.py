"""Transformation by example: outputs of inputs, as given examples show it.

Programs that make every example's output of its input are searched, and each writes what it makes of an input; the
network reads the input with the examples in context, writes outputs of its own and judges the programs'. One calibrator
weighs both, beside how well search and network find an example that is left out. An input's answer depends on the
examples and on nothing else that is asked.
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial

import numpy as np
import numpy.typing as npt

from model.adapters import with_adapter
from model.calibration import Calibrator
from model.checkpoint import Checkpoint
from model.errors import InputError, OptionError
from model.inference.atoms import Taken
from model.inference.batching import AnswerCall, ModelTask, Progress, StepCall
from model.inference.columns import collapsed, pattern_of, similarity
from model.inference.generation import AnswerQuery, ScoredValue
from model.inference.synthesis import Synthesis, SynthesizedProgram
from model.serialization import Mask
from model.tuples import Evidence, RepairCandidate, Usage

ADAPTER = "transform"
CALIBRATOR = "transform"
INPUT, OUTPUT = "input", "output"
_COLUMNS = (1, 2)
SHOWN = 5
"""Examples that the network reads with an input, at most."""

_LEFT_OUT = 5
_SCORED = 6
_CALLS = 256
_ASKED_AT_ONCE = 16
_MAX_TOKENS = 640
_LEAST = -8.0
_NO_PROGRAM_COST = 12.0

Floats = npt.NDArray[np.float64]

FEATURES = (
    "is_program", "share", "cost_gap", "skipped", "cost", "atoms", "fixed", "programs_differ", "search_right",
    "search_wrong", "search_checks", "examples", "log_probability", "gap", "is_written", "is_networks_first",
    "network_right", "no_program", "share_without_check", "same_pattern", "same_shape", "agree",
)  # fmt: skip
"""What is known of a candidate; `_features` says what they are."""


@dataclass(frozen=True, slots=True)
class TransformExample:
    """An input with its output."""

    input: str
    output: str


@dataclass(frozen=True, slots=True)
class TransformationOptions:
    """What a caller may choose.

    Attributes:
        min_confidence: below it there is no value.
        max_candidates: candidates that are told of each input.
    """

    min_confidence: float = 0.5
    max_candidates: int = 3


class TransformationOutcome(StrEnum):
    """The three outcomes of an input."""

    VALUE = "value"
    ABSTAINED = "abstained"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Transformation:
    """The answer for one input; `output` is set when `outcome` is VALUE, candidates are best first."""

    outcome: TransformationOutcome
    evidence: Evidence
    output: str | None = None
    confidence: float | None = None
    candidates: tuple[RepairCandidate, ...] = ()


@dataclass(frozen=True, slots=True)
class TransformationResult:
    """One answer for each input, in their order."""

    transformations: tuple[Transformation, ...]
    usage: Usage


@dataclass(frozen=True, slots=True)
class Judged:
    """The candidates of one input, with what is known of each, and the program that makes it, if any.

    Attributes:
        features: (candidates, len(FEATURES)).
        failed: the network gave no numbers.
    """

    outputs: tuple[str, ...]
    programs: tuple[SynthesizedProgram | None, ...]
    features: Floats
    failed: bool = False

    @property
    def programs_first(self) -> str | None:
        """What the cheapest program makes that makes anything."""
        return self.outputs[0] if self.outputs and self.programs[0] is not None else None

    @property
    def networks_first(self) -> str | None:
        """What the network wrote as the likeliest."""
        likely = np.where(self._known("is_written") > 0, self._known("log_probability"), -np.inf)
        return self.outputs[int(likely.argmax())] if np.isfinite(likely).any() else None

    def _known(self, name: str) -> Floats:
        return self.features[:, FEATURES.index(name)]


@dataclass(slots=True)
class Observed:
    """What is known of each distinct input that is neither empty nor an example, and the tokens that it took."""

    judged: dict[str, Judged] = field(default_factory=dict)
    encoder_tokens: int = 0
    decoder_tokens: int = 0


def transform(
    checkpoint: Checkpoint,
    examples: Sequence[TransformExample],
    inputs: Sequence[str],
    options: TransformationOptions | None = None,
    progress: Progress | None = None,
) -> ModelTask[TransformationResult]:
    """Transform every input as the examples show it.

    Raises:
        OptionError: there is no example, or two of them contradict each other; or an option is out of range.
        InputError: the checkpoint was not trained to transform, or has no calibrator of it.
    """
    options = options or TransformationOptions()
    check_examples(examples)
    _check_options(options)
    calibration = checkpoint.calibration
    if calibration is None or CALIBRATOR not in calibration.calibrators:
        raise InputError("the checkpoint cannot transform: `python -m model.finetuning.transformation` fits it")
    began = time.monotonic()
    observed = yield from observe(with_adapter(checkpoint, ADAPTER), examples, inputs, progress)
    transformations = decide(calibration[CALIBRATOR], examples, inputs, observed.judged, options)
    seconds = round(time.monotonic() - began, 3)
    usage = Usage(len(inputs), observed.encoder_tokens, observed.decoder_tokens, seconds)
    return TransformationResult(transformations, usage)


def decide(
    calibrator: Calibrator,
    examples: Sequence[TransformExample],
    inputs: Sequence[str],
    judged: Mapping[str, Judged],
    options: TransformationOptions,
) -> tuple[Transformation, ...]:
    """The answer for each input by what `observe` says of it."""
    answers = {text: _decide(one, calibrator.predict(one.features), options) for text, one in judged.items()}
    for place, example in reversed(list(enumerate(examples))):
        answers[example.input] = _of_example(place, example.output, options)
    return tuple(answers.get(text, _EMPTY) for text in inputs)


_EMPTY = Transformation(TransformationOutcome.ABSTAINED, Evidence("model", (), "the input is empty"))


def _of_example(place: int, output: str, options: TransformationOptions) -> Transformation:
    """The answer for an input that is an example."""
    candidates = (RepairCandidate(output, 1.0),)[: options.max_candidates]
    evidence = Evidence("example", (place,), "the input is an example")
    return Transformation(TransformationOutcome.VALUE, evidence, output, 1.0, candidates)


def check_examples(examples: Sequence[TransformExample]) -> None:
    """Refuse examples that teach nothing.

    Raises:
        OptionError: as in `transform`; `tuple_id` is the second of two that contradict each other.
    """
    if not examples:
        raise OptionError("at least one example is needed", field="examples")
    told: dict[str, int] = {}
    for place, example in enumerate(examples):
        first = told.setdefault(example.input, place)
        if examples[first].output != example.output:
            message = f"examples {first} and {place} have one input and different outputs"
            raise OptionError(message, tuple_id=place, field="examples")


def _check_options(options: TransformationOptions) -> None:
    if not 0.0 <= options.min_confidence <= 1.0:
        raise OptionError(f"min_confidence {options.min_confidence} is outside 0 to 1", field="min_confidence")
    if options.max_candidates < 1:
        raise OptionError(f"max_candidates {options.max_candidates} is below 1", field="max_candidates")


def observe(
    checkpoint: Checkpoint,
    examples: Sequence[TransformExample],
    inputs: Sequence[str],
    progress: Progress | None = None,
) -> ModelTask[Observed]:
    """Search programs, and ask the network for every distinct input that is neither empty nor an example.

    A search can take a second or two; other tasks get their turns before and after each.

    Args:
        checkpoint: weights that were trained to transform.
    """
    pairs = sorted({(one.input, one.output) for one in examples if one.input})
    given = {one.input for one in examples}
    distinct = sorted({text for text in inputs if text and text not in given})
    observed = Observed()
    if not distinct:
        return observed
    synthesis = Synthesis(pairs)
    yield [StepCall(lambda: synthesis.programs)]
    left_out: list[bool | None] = []
    for place in range(min(len(pairs), _LEFT_OUT)):
        yield [StepCall(partial(_leave_out, pairs, place, left_out))]
    search = _Search(synthesis, left_out)
    asker = _Asker(checkpoint, pairs)
    network_right = 0.5
    if len(pairs) > 1:
        calls = [asker.call(pairs[place][0], (), place) for place in range(min(len(pairs), _LEFT_OUT))]
        scored = yield from _answered(calls, observed)
        firsts = [_first(one) for one in scored]
        network_right = sum(one == pair[1] for one, pair in zip(firsts, pairs, strict=False)) / len(firsts)
    for start in range(0, len(distinct), _CALLS):
        part = distinct[start : start + _CALLS]
        made: list[Programmed] = []
        yield [StepCall(partial(_run_programs, synthesis, part, made))]
        calls = []
        for first in range(0, len(part), _ASKED_AT_ONCE):
            some = slice(first, first + _ASKED_AT_ONCE)
            yield [StepCall(partial(asker.ask, calls, part[some], made[some]))]
        scored = yield from _answered(calls, observed)
        for text, outputs, values in zip(part, made, scored, strict=True):
            observed.judged[text] = search.judge(text, outputs, values, network_right)
        if progress is not None:
            progress("transform", start + len(part), len(distinct))
    return observed


def _answered(calls: Sequence[AnswerCall], observed: Observed) -> ModelTask[list[list[ScoredValue]]]:
    """The values of the one query of each call; their tokens are counted."""
    answers = yield list(calls)
    scored = [_scored(answer) for answer in answers]
    observed.encoder_tokens += sum(call.encoder_tokens for call in calls)
    observed.decoder_tokens += sum(one.tokens for values in scored for one in values)
    return scored


def _leave_out(pairs: Sequence[tuple[str, str]], place: int, found: list[bool | None]) -> None:
    """Tell whether the programs of the other examples make the output of one; None where there are none."""
    others = Synthesis([*pairs[:place], *pairs[place + 1 :]])
    outputs = _programmed(others.programs, others.take(pairs[place][0]))
    found.append(next(iter(outputs)) == pairs[place][1] if outputs else None)


def _run_programs(synthesis: Synthesis, texts: Sequence[str], made: list[Programmed]) -> None:
    """What the programs make of some texts."""
    made += [_programmed(synthesis.programs, synthesis.take(text)) for text in texts]


Programmed = dict[str, list[int]]
"""Outputs by the places of the programs that make them, the cheapest first."""


def _programmed(programs: Sequence[SynthesizedProgram], taken: Taken) -> Programmed:
    made: Programmed = {}
    for place, program in enumerate(programs):
        output = program.run(taken)
        if output is not None:
            made.setdefault(output, []).append(place)
    return made


def _scored(answer: object) -> list[ScoredValue]:
    """The values of the one query of a call."""
    assert isinstance(answer, list)
    return list(answer[0])


def _first(scored: Sequence[ScoredValue]) -> str | None:
    """What the network wrote as the likeliest."""
    written = [one for one in scored if one.written]
    return max(written, key=lambda one: (one.mean_log_probability, one.value)).value if written else None


class _Asker:
    """Asks the network with examples in context, those nearest to the input first."""

    def __init__(self, checkpoint: Checkpoint, pairs: Sequence[tuple[str, str]]) -> None:
        self._checkpoint = checkpoint
        self._pairs = pairs

    def ask(self, calls: list[AnswerCall], texts: Sequence[str], made: Sequence[Programmed]) -> None:
        """Add a question about each text to `calls`, with what programs made of it."""
        calls += [self.call(text, tuple(outputs)[:_SCORED]) for text, outputs in zip(texts, made, strict=True)]

    def call(self, text: str, candidates: tuple[str, ...], left_out: int | None = None) -> AnswerCall:
        """One question; `left_out` is an example that is not shown."""
        others = (pair for place, pair in enumerate(self._pairs) if place != left_out)
        known = heapq.nsmallest(SHOWN, others, key=lambda pair: (-similarity(text, pair[0]), pair))
        for count in range(len(known), -1, -1):
            encoded = self._checkpoint.serializer.serialize((INPUT, OUTPUT), (text, Mask()), known[:count], _COLUMNS)
            if len(encoded) <= _MAX_TOKENS:
                break
        return AnswerCall(encoded, (AnswerQuery("transform", _COLUMNS[1], candidates),), self._checkpoint)


class _Search:
    """What the search says of candidates."""

    def __init__(self, synthesis: Synthesis, left_out: Sequence[bool | None]) -> None:
        self._programs = synthesis.programs
        self._examples = synthesis.examples
        self._right = sum(one is True for one in left_out)
        self._wrong = sum(one is False for one in left_out)
        self._patterns = {pattern_of(text) for text, _ in self._examples}
        self._shapes = {collapsed(pattern) for pattern in self._patterns}

    def judge(self, text: str, made: Programmed, scored: Sequence[ScoredValue], network_right: float) -> Judged:
        """All candidates of an input with their features."""
        values = {one.value: one for one in scored if one.value and math.isfinite(one.log_probability)}
        outputs = tuple(dict.fromkeys([*made, *sorted(values)]))
        programs = tuple(self._programs[made[output][0]] if output in made else None for output in outputs)
        rows = [self._features(text, output, made, values, network_right) for output in outputs]
        features = np.array([[row[name] for name in FEATURES] for row in rows]).reshape(-1, len(FEATURES))
        return Judged(outputs, programs, features, failed=bool(scored) and not values)

    def _features(
        self, text: str, output: str, made: Programmed, values: Mapping[str, ScoredValue], network_right: float
    ) -> dict[str, float]:
        """What is known of one candidate.

        `share`: of the weight, e to the minus cost, of the programs that make something of this input. `cost_gap`: how
        much dearer its cheapest program is than that of any other candidate. `skipped`: cheaper programs that make
        nothing of this input. `fixed`: letters and digits that no input tells. `search_right`, `search_wrong`,
        `network_right`: examples that were found, or not, from the others. `agree`: the network wrote what the
        cheapest program makes.
        """
        weight = {one: sum(math.exp(-self._programs[place].cost) for place in places) for one, places in made.items()}
        total = sum(weight.values())
        costs = {one: self._programs[places[0]].cost for one, places in made.items()}
        program = self._programs[made[output][0]] if output in made else None
        cost = costs.get(output, _NO_PROGRAM_COST)
        others = [one for key, one in costs.items() if key != output]
        checks = self._right + self._wrong
        share = weight[output] / total if program else 0.0
        likely = {key: max(_LEAST, one.mean_log_probability) for key, one in values.items()}
        own = likely.get(output, _LEAST)
        rival = max((one for key, one in likely.items() if key != output), default=_LEAST)
        written = output in values and values[output].written
        pattern = pattern_of(text)
        return {
            "is_program": float(program is not None),
            "share": share,
            "cost_gap": max(-6.0, min(6.0, min(others, default=_NO_PROGRAM_COST) - cost)) if program else 0.0,
            "skipped": math.log1p(_skipped(made, made[output][0])) if program else 0.0,
            "cost": cost,
            "atoms": float(len(program.atoms)) if program else 0.0,
            "fixed": math.log1p(program.fixed_characters) if program else 0.0,
            "programs_differ": float(len(made)),
            "search_right": self._right / checks if checks and program else 0.0,
            "search_wrong": math.log1p(self._wrong) if program else 0.0,
            "search_checks": math.log1p(self._right) * share,
            "examples": math.log(len(self._examples)) if program else 0.0,
            "log_probability": own,
            "gap": own - rival,
            "is_written": float(written),
            "is_networks_first": float(own >= rival and written),
            "network_right": network_right * (own >= rival),
            "no_program": float(not made),
            "share_without_check": share * (not checks),
            "same_pattern": float(pattern in self._patterns) if program else 0.0,
            "same_shape": float(collapsed(pattern) in self._shapes) if program else 0.0,
            "agree": share * (own >= rival and written),
        }


def _skipped(made: Programmed, first: int) -> int:
    """How many programs before the first that makes this output make nothing."""
    return first - sum(place < first for places in made.values() for place in places)


def _decide(one: Judged, confidences: Floats, options: TransformationOptions) -> Transformation:
    """The likeliest candidate, where it is likely enough."""
    total = max(1.0, float(confidences.sum()))
    ranked = sorted(_ranked(one, confidences / total), key=lambda found: (-found[0], found[1]))
    if not ranked:
        if one.failed:
            return Transformation(TransformationOutcome.ERROR, Evidence("model", (), "the model gave no numbers"))
        return Transformation(TransformationOutcome.ABSTAINED, Evidence("model", (), "nothing was found"))
    told = ranked[: options.max_candidates]
    candidates = tuple(RepairCandidate(output, confidence) for confidence, output, _ in told)
    confidence, output, program = ranked[0]
    if confidence < options.min_confidence:
        evidence = Evidence("model", (), "no candidate is likely enough")
        return Transformation(TransformationOutcome.ABSTAINED, evidence, None, confidence, candidates)
    evidence = Evidence("program", (), program.description) if program else Evidence("model")
    return Transformation(TransformationOutcome.VALUE, evidence, output, confidence, candidates)


def _ranked(one: Judged, confidences: Floats) -> Iterator[tuple[float, str, SynthesizedProgram | None]]:
    for output, program, confidence in zip(one.outputs, one.programs, confidences.tolist(), strict=True):
        yield round(confidence, 6), output, program
