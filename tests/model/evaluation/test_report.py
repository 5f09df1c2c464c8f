import json
from collections.abc import Callable
from pathlib import Path

import pytest

from model.checkpoint import Checkpoint
from model.errors import OptionError
from model.evaluation.figures import EvaluationTable
from model.evaluation.report import evaluate
from model.evaluation.tasks import NEED_CORPUS, TASKS


def test_a_report_names_weights_seed_and_intervals(small_bench: Path, checkpoint: Checkpoint) -> None:
    report = evaluate(["imputation"], small_bench, None, checkpoint, seed=5)
    text = report.to_markdown()
    assert text.startswith("# Evaluation of tiny 1.2.3\n")
    assert f"weights sha256 `{checkpoint.sha256}`, {checkpoint.parameters:,} parameters, computed in float32" in text
    assert "seed 5; brackets: 95 % intervals of 1000 bootstrap samples" in text
    assert "## imputation: Buy (city, 5 of 18 rows)" in text and "## cleaning" not in text
    record = json.loads(json.dumps(report.to_json()))
    assert record["model"]["sha256"] == checkpoint.sha256
    assert list(record["seconds"]) == ["imputation"] and record["seconds"]["imputation"] > 0
    assert "\nseconds: imputation " in text
    assert (record["seed"], record["resamples"], record["skipped"]) == (5, 1000, [])
    assert [table["title"].split()[0] for table in record["tables"]] == ["Buy", "Restaurant"]
    modes = {row["system"]: row["figures"] for row in record["tables"][0]["rows"]}
    assert modes["column mode"]["accuracy %"]["value"] == 20.0


def test_no_task_means_all_that_the_folders_allow(
    small_bench: Path, small_corpus: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []

    def recorder(task: str) -> Callable[..., list[EvaluationTable]]:
        def measure(*_: object) -> list[EvaluationTable]:
            measured.append(task)
            return []

        return measure

    for task in TASKS:
        monkeypatch.setitem(TASKS, task, recorder(task))
    without = evaluate([], small_bench, None, checkpoint)
    assert measured == [task for task in TASKS if task not in NEED_CORPUS] != []
    assert "\nnot measured: reconstruction (no corpus folder was given)\n" in without.to_markdown()
    measured.clear()
    everything = evaluate([], small_bench, small_corpus, checkpoint)
    assert measured == list(TASKS)
    assert everything.skipped == ()


def test_unknown_tasks_and_a_missing_corpus_are_refused(small_bench: Path, checkpoint: Checkpoint) -> None:
    with pytest.raises(OptionError, match="no task 'matching'"):
        evaluate(["matching"], small_bench, None, checkpoint)
    for task in NEED_CORPUS:
        with pytest.raises(OptionError, match=f"{task} needs the corpus folder"):
            evaluate([task], small_bench, None, checkpoint)
