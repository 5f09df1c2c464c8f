"""Transformation by example: what is answered, with which evidence, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from model.calibration import Calibration
from model.checkpoint import Checkpoint
from model.errors import InputError, OptionError
from model.inference.batching import AnswerCall, StepCall, run_task
from model.inference.transformation import (
    FEATURES,
    Judged,
    Transformation,
    TransformationOptions,
    TransformationOutcome,
    TransformExample,
    decide,
    transform,
)
from model.tuples import Evidence
from tests.conftest import linear_calibrator

NAMES = [
    TransformExample("Ada Lovelace", "Lovelace, A."),
    TransformExample("Alan Turing", "Turing, A."),
    TransformExample("Grace Hopper", "Hopper, G."),
]
INPUTS = ["Edsger Dijkstra", "Barbara Liskov", "Alan Turing", "", "Edsger Dijkstra", "x\x00y é", "one"]


def run(
    checkpoint: Checkpoint,
    examples: Sequence[TransformExample] = NAMES,
    inputs: Sequence[str] = INPUTS,
    **options: float,
) -> tuple[Transformation, ...]:
    asked = TransformationOptions(**options)  # type: ignore[arg-type]
    return run_task(checkpoint, transform(checkpoint, examples, inputs, asked)).transformations


def test_programs_answer_and_say_what_they_do(checkpoint: Checkpoint) -> None:
    found = run(checkpoint)
    assert [one.output for one in found[:2]] == ["Dijkstra, E.", "Liskov, B."]
    assert found[0].outcome is TransformationOutcome.VALUE and found[0].evidence.source == "program"
    assert "word 1 from the right" in (found[0].evidence.detail or "") or "', '" in (found[0].evidence.detail or "")
    assert found[0].candidates[0].value == "Dijkstra, E." and found[0].candidates[0].confidence == found[0].confidence
    assert found[4] == found[0]


def test_an_input_that_is_an_example_is_answered_by_it_and_an_empty_one_is_not(checkpoint: Checkpoint) -> None:
    found = run(checkpoint)
    assert found[2].output == "Turing, A." and found[2].confidence == 1.0
    assert found[2].evidence == Evidence("example", (1,), "the input is an example")
    assert found[3].outcome is TransformationOutcome.ABSTAINED and found[3].candidates == ()


def test_company_and_order_change_nothing(checkpoint: Checkpoint) -> None:
    together = dict(zip(INPUTS, run(checkpoint), strict=True))
    for text in ("Edsger Dijkstra", "x\x00y é", "one"):
        assert run(checkpoint, inputs=[text])[0] == together[text]
    backwards = run(checkpoint, examples=NAMES[::-1], inputs=INPUTS[::-1])
    for text, one in zip(INPUTS[::-1], backwards, strict=True):
        if text != "Alan Turing":  # the number of the example is another one
            assert one == together[text]


def test_below_the_confidence_there_is_no_value(checkpoint: Checkpoint) -> None:
    (found,) = run(checkpoint, inputs=["Edsger Dijkstra"], min_confidence=1.0, max_candidates=1)
    assert found.outcome is TransformationOutcome.ABSTAINED and found.output is None
    assert len(found.candidates) == 1 and found.confidence == found.candidates[0].confidence


@pytest.mark.parametrize(
    "text",
    [
        "1,234,567,890,123,456,789,012,345,678 kg",
        "999," * 25 + "999 kg",
        "*".join(["999999999"] * 9),
        "APRİL 5, 2020",
        "9" * 400,
    ],
)
def test_numbers_and_dates_that_are_none_break_nothing(checkpoint: Checkpoint, text: str) -> None:
    shown = [TransformExample("5 km", "3.10686 mile"), TransformExample("18 km", "11.1847 mile")]
    (found,) = run(checkpoint, shown, [text])
    assert found.outcome in (TransformationOutcome.VALUE, TransformationOutcome.ABSTAINED)
    (shown_itself,) = run(checkpoint, [*shown, TransformExample(text, "x")], [text])
    assert shown_itself.output == "x"


def test_many_examples_are_asked_with_those_nearest_to_the_input(checkpoint: Checkpoint) -> None:
    shown = [TransformExample(f"{number} {word}", word) for number in range(30) for word in ("red", "blue")]
    (found,) = run(checkpoint, shown, ["7 green"])
    assert found.output == "green"


def test_searches_are_turns_of_their_own_and_all_tokens_are_counted(checkpoint: Checkpoint) -> None:
    task = transform(checkpoint, NAMES, ["Edsger Dijkstra", "one"])
    calls = next(task)
    searched = 0
    while isinstance(calls[0], StepCall):
        calls[0].run()
        searched += 1
        calls = task.send([[]])
    assert searched == 1 + len(NAMES)  # by all examples, and without each
    assert all(isinstance(call, AnswerCall) for call in calls)
    task.close()
    usage = run_task(checkpoint, transform(checkpoint, NAMES, ["Edsger Dijkstra", "one"])).usage
    assert usage.tuples == 2
    assert usage.encoder_tokens > sum(call.encoder_tokens for call in calls) > 0
    assert usage.decoder_tokens > 0


def test_examples_without_a_program_leave_the_network_alone(checkpoint: Checkpoint) -> None:
    examples = [TransformExample("abc", "xyz"), TransformExample("def", "uvw")]
    (found,) = run(checkpoint, examples, ["ghi"], min_confidence=0.0)
    assert found.outcome is TransformationOutcome.VALUE and found.evidence.source == "model"


def test_a_network_without_numbers_is_an_error() -> None:
    calibrator = linear_calibrator(FEATURES, {}, 0.0)
    judged = {"a": Judged((), (), np.zeros((0, len(FEATURES))), failed=True)}
    (found,) = decide(calibrator, NAMES, ["a"], judged, TransformationOptions())
    assert found.outcome is TransformationOutcome.ERROR and found.output is None


def test_one_long_example_and_long_inputs_are_read(checkpoint: Checkpoint) -> None:
    found = run(checkpoint, [TransformExample("x" * 5000, "x")], ["y" * 5000, "7" * 300], min_confidence=0.0)
    assert [one.outcome for one in found] == [TransformationOutcome.VALUE] * 2


def test_examples_that_teach_nothing_are_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(OptionError, match="at least one example"):
        run(checkpoint, [])
    with pytest.raises(OptionError, match="examples 1 and 3 have one input") as caught:
        run(checkpoint, [*NAMES, TransformExample("Alan Turing", "A. Turing")])
    assert (caught.value.tuple_id, caught.value.field) == (3, "examples")
    assert run(checkpoint, [*NAMES, NAMES[0]], ["Edsger Dijkstra"]) == run(checkpoint, inputs=["Edsger Dijkstra"])
    with pytest.raises(OptionError, match="min_confidence"):
        run(checkpoint, min_confidence=2.0)
    with pytest.raises(OptionError, match="max_candidates"):
        run(checkpoint, max_candidates=0)


def test_a_checkpoint_that_cannot_transform_says_so(checkpoint: Checkpoint, bare_checkpoint: Checkpoint) -> None:
    assert checkpoint.calibration is not None
    without = {name: one for name, one in checkpoint.calibration.calibrators.items() if name != "transform"}
    with pytest.raises(InputError, match="cannot transform"):
        run(replace(checkpoint, calibration=Calibration(without)))
    with pytest.raises(InputError, match="no adapter 'transform'"):
        run(replace(bare_checkpoint, calibration=checkpoint.calibration))
