"""Extraction: where the network points, what examples and other texts add, and that offsets always match."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.adapters import adapter_path
from model.calibration import Calibration
from model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from model.errors import InputError, OptionError
from model.inference import extraction
from model.inference.answers import EVIDENCE, FEATURES, NO_ANSWER_FEATURES
from model.inference.batching import ModelTask, SpanCall, StepCall, run_task, run_tasks
from model.inference.extraction import Extraction, ExtractionOutcome, extract, extractor, observe
from model.inference.pointing import AskedAttribute, ExtractionExample, point
from tests.conftest import MakeCalibrator, add_adapter, add_trees, known_values, stump

TEXTS = ["Acme kettle 1.5 L red", "Globex kettle 2 L", "Acme pan 28 cm, black 🍳", "plain"]
ATTRIBUTES = [AskedAttribute("brand"), AskedAttribute("color")]


@pytest.fixture(scope="module")
def extracting(
    bare_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory, make_calibrator: MakeCalibrator
) -> Checkpoint:
    """The tiny model with a span head and calibrators that trust the network, examples and other texts."""
    folder = tmp_path_factory.mktemp("extracting") / "tiny"
    weights = {"log_probability": 0.5, "example_logit": 1.0, "support_logit": 0.2, "is_example": 2.0}
    calibration = Calibration(
        {
            "extraction": make_calibrator(FEATURES, weights, 1.5),
            "extraction_none": make_calibrator(NO_ANSWER_FEATURES, {"no_answer": 0.3, "best": -0.5}, 0.0),
        }
    )
    tokenizer = bare_checkpoint.serializer.tokenizer
    save_checkpoint(folder, bare_checkpoint.denoiser, tokenizer, bare_checkpoint.card, calibration)
    add_adapter(folder, load_checkpoint(folder, precision="float32").denoiser)
    add_trees(folder)
    return load_checkpoint(folder, precision="float32")


def answers(
    checkpoint: Checkpoint, texts: Sequence[str | None], attributes: Sequence[AskedAttribute]
) -> list[Extraction]:
    return list(run_task(checkpoint, extract(checkpoint, texts, attributes)).extractions)


def by_question(
    found: Sequence[Extraction], texts: Sequence[str], names: Sequence[AskedAttribute]
) -> dict[tuple[str, str], Extraction]:
    return {(texts[one.text_id], names[one.attribute].name): replace(one, text_id=0, attribute=0) for one in found}


def test_every_text_is_answered_for_every_attribute_and_values_stand_where_they_are_said_to(
    extracting: Checkpoint,
) -> None:
    found = answers(extracting, TEXTS, ATTRIBUTES)
    assert [(one.text_id, one.attribute) for one in found] == [(t, a) for t in range(4) for a in range(2)]
    told = [one for one in found if one.outcome is ExtractionOutcome.VALUE]
    assert told
    assert all(TEXTS[one.text_id][one.start : one.end] == one.value for one in told)
    assert all(0.0 <= (one.confidence or -1.0) <= 1.0 for one in found)


@settings(deadline=None, max_examples=25)
@given(
    texts=st.lists(st.text(alphabet=st.sampled_from("aé1 .😀\u0301\r\n-\u200d"), max_size=150), min_size=1, max_size=3)
)
def test_offsets_match_whatever_the_text(extracting: Checkpoint, texts: list[str]) -> None:
    for one in answers(extracting, texts, ATTRIBUTES):
        if one.value is not None:
            assert texts[one.text_id][one.start : one.end] == one.value == one.value.strip()
        else:
            assert one.outcome is ExtractionOutcome.NONE and one.start is None


def test_order_of_texts_and_attributes_changes_nothing(extracting: Checkpoint) -> None:
    names = [AskedAttribute(name) for name in ("brand", "color", "size", "weight", "kind", "maker", "length", "name")]
    names[1] = replace(
        names[1], examples=(ExtractionExample("Initech mug blue", "blue"), ExtractionExample("a cup", None))
    )
    plain = by_question(answers(extracting, TEXTS, names), TEXTS, names)
    rng = random.Random(1)
    for _ in range(3):
        texts, asked = rng.sample(TEXTS, len(TEXTS)), rng.sample(names, len(names))
        asked = [replace(one, examples=tuple(reversed(one.examples))) for one in asked]
        assert by_question(answers(extracting, texts, asked), texts, asked) == plain


def test_company_changes_nothing(extracting: Checkpoint) -> None:
    alone = answers(extracting, TEXTS, ATTRIBUTES)
    tasks: Iterator[ModelTask[object]] = (
        extract(extracting, part, ATTRIBUTES) for part in (TEXTS[:1], TEXTS, TEXTS[2:])
    )
    together = list(run_tasks(extracting, tasks))
    assert together[1].extractions == tuple(alone)  # type: ignore[attr-defined]


def test_a_text_that_is_an_example_is_answered_by_it(extracting: Checkpoint) -> None:
    asked = [AskedAttribute("color", None, (ExtractionExample(TEXTS[0], "red"), ExtractionExample(TEXTS[1], None)))]
    first, second, *_ = answers(extracting, TEXTS, asked)
    assert (first.value, first.start, first.end, first.confidence) == ("red", 18, 21, 1.0)
    assert first.evidence.source == second.evidence.source == "example"
    assert (second.outcome, second.confidence) == (ExtractionOutcome.NONE, 1.0)


def test_the_value_of_an_example_is_found_in_another_text(extracting: Checkpoint) -> None:
    examples = tuple(ExtractionExample(f"thing {number} in BLACK", "BLACK") for number in range(6))
    (one,) = answers(extracting, [TEXTS[2]], [AskedAttribute("color", None, examples)])
    assert (one.value, one.start) == ("black", TEXTS[2].index("black"))


def test_enough_examples_are_practised_on(extracting: Checkpoint) -> None:
    """Texts of which all but one are answered: none of them tells a brand, so the last one does not either."""
    texts = [f"thing {number} in black" for number in range(30)]
    few, many = ([ExtractionExample(text, None) for text in texts[:count]] for count in (4, 29))
    said = [answers(extracting, texts[-10:], [AskedAttribute("brand", None, tuple(own))])[-1] for own in (few, many)]
    assert said[1].outcome is ExtractionOutcome.NONE
    assert (said[1].confidence or 0.0) > 0.8
    assert said[0].outcome is ExtractionOutcome.VALUE or (said[0].confidence or 0.0) < 0.8


def test_trees_and_known_values_weigh(extracting: Checkpoint, make_calibrator: MakeCalibrator) -> None:
    calibration = Calibration(
        {
            "extraction": make_calibrator(FEATURES, {"judge": 1.0}, 0.0),
            "extraction_none": make_calibrator(NO_ANSWER_FEATURES, {"best": -1.0}, 0.0),
        }
    )
    values = known_values(("brand",), {"Globex": (9, {0: 8})})
    trees = stump(EVIDENCE, "stands_under", 1.0, -3.0, 3.0)
    asked = [AskedAttribute("brand", None, (ExtractionExample("by Globex", "Globex"),))]
    knowing = replace(extracting, calibration=calibration, known_values=values, judges={"extraction": trees})
    (found,) = answers(knowing, ["Globex kettle 2 L"], asked)
    assert found.value == "Globex"
    assert found.confidence == pytest.approx(1 / (1 + np.exp(-3.0)), abs=0.02)
    (without,) = answers(replace(knowing, known_values=None), ["Globex kettle 2 L"], asked)
    assert without.outcome is ExtractionOutcome.NONE


def test_after_fine_tuning_the_likelier_of_value_and_none_is_the_answer(
    extracting: Checkpoint, make_calibrator: MakeCalibrator
) -> None:
    calibrators = {
        "extraction": make_calibrator(FEATURES, {}, -1.5),  # every value is .18 likely, none .38
        "extraction_none": make_calibrator(NO_ANSWER_FEATURES, {}, -0.5),
    }
    asked = [AskedAttribute("color")]
    before = replace(extracting, calibration=Calibration(calibrators))
    after = replace(extracting, calibration=Calibration(calibrators, of_labels=frozenset({"extraction"})))
    assert answers(before, TEXTS[:1], asked)[0].outcome is ExtractionOutcome.VALUE
    assert answers(after, TEXTS[:1], asked)[0].outcome is ExtractionOutcome.NONE


def test_trees_of_another_version_are_refused(extracting: Checkpoint) -> None:
    for judges in ({}, {"extraction": stump(EVIDENCE[1:], "words", 0.0, 0.0, 0.0)}):
        with pytest.raises(InputError, match="another version"):
            answers(replace(extracting, judges=judges), TEXTS, ATTRIBUTES)


def test_blank_texts_tell_nothing(extracting: Checkpoint) -> None:
    found = answers(extracting, [None, "", " \n"], ATTRIBUTES[:1])
    assert [(one.outcome, one.confidence) for one in found] == [(ExtractionOutcome.NONE, 1.0)] * 3


def test_a_long_text_is_read_in_windows_to_its_end(extracting: Checkpoint) -> None:
    text = "word " * 300 + "Zanzibar"
    examples = (ExtractionExample("to Zanzibar", "Zanzibar"), ExtractionExample("in Zanzibar", "Zanzibar"))
    (one,) = answers(extracting, [text], [AskedAttribute("place", None, examples)])
    assert (one.value, one.start) == ("Zanzibar", 1500)
    observed, tokens = run_task(extracting, observe(extractor(extracting), [text], ATTRIBUTES[:1]))
    assert tokens > len(extracting.serializer.tokenizer.encode(text))
    starts = [candidate.start for candidate in observed.pointings[text, 0].candidates]
    assert all(0 <= start < len(text) for start in starts) and len(set(starts)) > 1


def test_the_network_says_of_any_span_what_it_says_of_its_best(extracting: Checkpoint) -> None:
    text = "?!;:/=+*#@" * 60  # every sign is a token, so that no two spans of tokens are the same characters
    pointings, _ = run_task(extracting, point(extractor(extracting), [text], ATTRIBUTES))
    for pointing in pointings.values():
        assert len(pointing.windows) > 1 and len(pointing.candidates) == 8
        told = [one.log_probability for one in pointing.candidates]
        assert [pointing.log_probability(one.start, one.end) for one in pointing.candidates] == pytest.approx(
            told, abs=0.02
        )
        assert pointing.log_probability(0, 64) > -np.inf == pointing.log_probability(0, 65)  # the longest answer


def test_numbers_that_are_none_are_an_error(extracting: Checkpoint) -> None:
    task = extract(extracting, ["Acme mug"], ATTRIBUTES)
    (call,) = next(task)
    assert isinstance(call, SpanCall)
    (step,) = task.send([np.full((2, len(call.encoder_input), 2), np.nan, dtype=np.float32)])
    with pytest.raises(StopIteration) as ended:
        while isinstance(step, StepCall):
            step.run()
            (step,) = task.send([[]])
    outcomes = {one.outcome for one in ended.value.value.extractions}
    assert outcomes == {ExtractionOutcome.ERROR}


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ([AskedAttribute("a"), AskedAttribute("a")], "asked twice"),
        ([AskedAttribute(" ")], "no name"),
        ([AskedAttribute("a", None, (ExtractionExample("text", "value"),))], "does not stand"),
        ([AskedAttribute("a", None, (ExtractionExample("t", "t"), ExtractionExample("t", None)))], "differently"),
    ],
)
def test_attributes_that_cannot_be_asked_are_refused(
    extracting: Checkpoint, attributes: list[AskedAttribute], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        answers(extracting, TEXTS, attributes)


def test_a_checkpoint_that_was_not_trained_to_extract_says_so(
    bare_checkpoint: Checkpoint, extracting: Checkpoint
) -> None:
    with pytest.raises(InputError, match="cannot extract"):
        answers(bare_checkpoint, TEXTS, ATTRIBUTES)
    assert not adapter_path(bare_checkpoint, extraction.ADAPTER).exists()
    with pytest.raises(InputError, match="no adapter"):
        extractor(replace(bare_checkpoint, calibration=extracting.calibration))
    assert extractor(extracting).denoiser is extractor(extracting).denoiser
    assert extractor(extracting).sha256 != extracting.sha256
