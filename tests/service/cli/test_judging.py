"""The command line asks the engine in the model's words, and reads its answers as judgements of cells."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from functools import partialmethod
from pathlib import Path

import pytest

from model.checkpoint import Checkpoint, load_checkpoint
from model.inference.batching import run_task
from model.inference.cleaning import clean
from model.inference.completion import complete
from model.tuples import (
    AdaptationOptions,
    Cell,
    CellExample,
    CleaningOptions,
    CompletionOptions,
    CompletionTarget,
    Relation,
)
from service.cli import main
from service.cli.judging import (
    JudgingError,
    JudgingOptions,
    WantedFormat,
    describe_weights,
    evaluate_model,
    load_judges,
)
from service.cli.labels import Labels
from service.storage.table_file import RowChunk


@pytest.fixture(scope="module")
def served(checkpoint: Checkpoint) -> Checkpoint:
    """The tiny model in the number format that the command line picks."""
    return load_checkpoint(checkpoint.path)


def ignore(stage: str, done: int, total: int) -> None:
    """No progress."""


def test_cleaning_judges_as_the_model_does(served: Checkpoint, people: Relation) -> None:
    options = JudgingOptions(columns=frozenset({1, 3}), min_confidence=0.4)
    stages: set[str] = set()
    with load_judges(served.path) as judges:
        assert judges.model == {"name": "tiny", "version": "1.2.3", "sha256": served.sha256}
        judge = judges.cleaning(options)
        found = judge(people.attributes, list(people.tuples), lambda stage, done, total: stages.add(stage))
    expected = run_task(served, clean(served, people, CleaningOptions(frozenset({1, 3}), min_confidence=0.4)))
    assert stages == {"detect", "repair"}
    assert [(one.row, one.column, one.new, one.confidence) for one in found] == [
        (one.cell.tuple_id, one.cell.attribute, one.repair, one.confidence) for one in expected.repairs
    ]
    assert {one.outcome for one in found} <= {"repaired", "abstained"}
    assert [one.evidence_rows for one in found] == [one.evidence.tuple_ids for one in expected.repairs]
    assert found


def test_normalization_judges_the_chosen_columns_as_examples_show(served: Checkpoint) -> None:
    days = ["2020-03-05", "2019-12-25", "2018-01-09", "March 5, 2020", "03/04/2020", None]
    rows = [(day, day) for day in days]
    with load_judges(served.path) as judges:
        judge = judges.normalization(JudgingOptions(frozenset({1})), [])
        found = judge(("a", "b"), list(rows), ignore)
        shown = judges.normalization(JudgingOptions(frozenset({0})), [WantedFormat(0, "Mar 5, 2020", None)])
        taught = shown(("a", "b"), list(rows), ignore)
    assert [(one.row, one.column, one.outcome, one.new) for one in found] == [
        (3, 1, "rewritten", "2020-03-05"), (4, 1, "abstained", None),
    ]  # fmt: skip
    assert found[0].confidence is not None and found[0].evidence_source == "program" and found[0].detail
    assert [one.new for one in taught] == ["Mar 5, 2020", "Dec 25, 2019", "Jan 9, 2018", "Mar 5, 2020", None]


def test_completion_asks_for_the_missing_cells_of_the_chosen_columns(served: Checkpoint, people: Relation) -> None:
    with load_judges(served.path) as judges:
        judge = judges.completion(JudgingOptions(columns=frozenset({2})))
        found = judge(people.attributes, list(people.tuples), ignore)
    targets = tuple(
        CompletionTarget(one.cell)
        for one in run_task(served, complete(served, people)).completions
        if one.cell.attribute == 2
    )
    expected = run_task(served, complete(served, people, CompletionOptions(targets))).completions
    assert [(one.row, one.column, one.new) for one in found] == [
        (one.cell.tuple_id, one.cell.attribute, one.value) for one in expected
    ]
    assert found


def test_each_part_that_is_large_enough_is_adapted_to(
    served: Checkpoint, people: Relation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AdaptationOptions, "__init__", partialmethod(AdaptationOptions.__init__, max_steps=2))
    told: list[str] = []
    with load_judges(served.path) as judges:
        judge = judges.cleaning(JudgingOptions(adapt=True))
        found = judge(people.attributes, list(people.tuples), lambda stage, done, total: told.append(stage))
        first = replace(judges.adaptation)
        judge(people.attributes, list(people.tuples[:7]), ignore)  # the end of a long table
        assert judges.adaptation == first
        judges.completion(JudgingOptions(adapt=True))(people.attributes, list(people.tuples), ignore)
        assert (judges.adaptation.parts, judges.adaptation.steps) == (2, 4)
    expected = run_task(served, clean(served, people, CleaningOptions(adapt=AdaptationOptions())))
    assert (first.parts, first.steps) == (1, 2)
    assert expected.usage.adaptation is not None
    assert first.encoder_tokens == expected.usage.adaptation.encoder_tokens
    assert [(one.row, one.column, one.new) for one in found] == [
        (one.cell.tuple_id, one.cell.attribute, one.repair) for one in expected.repairs
    ]
    assert told.count("adapt") == 2 and found


def test_weights_are_described_with_the_hash_of_their_card(checkpoint: Checkpoint, tmp_path: Path) -> None:
    described = describe_weights(checkpoint.path)
    assert (described.name, described.sha256) == ("tiny", checkpoint.sha256)
    assert described.expected_sha256 == checkpoint.sha256
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in (path for path in checkpoint.path.iterdir() if path.is_file()):
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "card.json").write_text(json.dumps({**checkpoint.card, "sha256": "aa"}), encoding="utf-8")
    assert describe_weights(folder).expected_sha256 == "aa"


def test_what_the_model_refuses_is_a_judging_error(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(JudgingError, match="no checkpoint folder 'nothing'"), load_judges(tmp_path / "nothing"):
        pass
    with load_judges(checkpoint.path) as judges:
        judge = judges.cleaning(JudgingOptions(min_confidence=2.0))
        with pytest.raises(JudgingError, match="min_confidence 2.0"):
            judge(["a"], [("1",)], ignore)
    with pytest.raises(JudgingError, match="no task 'magic'"):
        evaluate_model(["magic"], tmp_path, None, checkpoint.path, 0, ignore)


def test_a_file_goes_through_the_real_engine(
    served: Checkpoint, people: Relation, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    dirty, cleaned = tmp_path / "people.csv", tmp_path / "people.cleaned.csv"
    lines = [",".join(people.attributes), *(",".join(value or "" for value in values) for values in people.tuples)]
    dirty.write_bytes("\r\n".join(lines).encode())
    assert main(["clean", str(dirty), "--model", str(served.path)]) == 0
    log = cleaned.with_name("people.cleaned.csv.patches.jsonl")
    patches = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    changed = [patch for patch in patches if patch["outcome"] == "repaired"]
    expected = run_task(served, clean(served, people)).repairs
    assert [(patch["row"], patch["column_index"]) for patch in patches] == [
        (one.cell.tuple_id, one.cell.attribute) for one in expected
    ]
    assert changed
    restored = tmp_path / "restored.csv"
    assert main(["patch", "revert", str(cleaned), str(log), "-o", str(restored)]) == 0
    assert restored.read_bytes() == dirty.read_bytes() != cleaned.read_bytes()


def test_labels_go_to_the_model_and_rows_worth_one_come_back(served: Checkpoint, people: Relation) -> None:
    labels = Labels({11: ("known", *people.tuples[1][1:])}, frozenset({0, 1}), wanted=2)
    labels.begin_part(RowChunk(list(people.tuples), list(range(10, 50))))
    with load_judges(served.path) as judges:
        found = judges.cleaning(JudgingOptions(labels=labels))(people.attributes, list(people.tuples), ignore)
    examples = tuple(CellExample(Cell(1, column), ("known", people.tuples[1][1])[column]) for column in (0, 1))
    expected = run_task(served, clean(served, people, CleaningOptions(examples=examples, suggest_labels=2)))
    assert [(one.row, one.column, one.new) for one in found] == [
        (one.cell.tuple_id, one.cell.attribute, one.repair) for one in expected.repairs
    ]
    assert (1, 0, "known") in [(one.row, one.column, one.new) for one in found]
    file = io.BytesIO()
    labels.write(people.attributes, file)
    lines = list(csv.reader(io.StringIO(file.getvalue().decode())))
    assert [line[:2] for line in lines[1:]] == [
        ["11", "labelled"],
        *([str(one.tuple_id + 10), one.reason] for one in expected.suggestions),
    ]
    assert len(lines) == 4
