"""A certificate has the figures of the product's own validation, pairs its windows, and refuses what is too bad."""

from __future__ import annotations

import numpy as np
import pytest

from model.checkpoint import Checkpoint
from model.compression.certificate import (
    Certificate,
    Judging,
    Line,
    RefusedError,
    compare,
    figures,
    judge_windows,
    measures,
)
from model.corpus import CorpusTable
from model.pretraining import Validation


def windows(seed: int, skill: float, count: int = 12) -> list[Validation]:
    rng, made = np.random.default_rng(seed), []
    for _ in range(count):
        wrong = (rng.random(30) < 0.2).astype(np.float32)
        logits = np.round(skill * wrong + rng.normal(size=30), 1)  # with ties
        hits = {task: (rng.random(10) < 0.3 * skill).tolist() for task in ("fill", "repair", "name")}
        made.append(Validation(logits, wrong, {task: [1.0] for task in hits}, hits))
    return made


def test_figures_are_those_of_validation_whatever_windows_are_drawn() -> None:
    validations = windows(0, 2.0, 3)
    found = figures(validations, np.array([[1.0, 1.0, 1.0], [2.0, 0.0, 1.0]]))
    first, second, third = validations
    for draw, drawn in enumerate(([first, second, third], [first, first, third])):
        metrics = Validation.together(drawn).metrics()
        assert {name: values[draw] for name, values in found.items()} == pytest.approx(
            {name: 100 * metrics[name] for name in found}, abs=0.006
        )


def test_the_measures_of_one_model_are_those_of_its_certificate() -> None:
    alone, certificate = measures(windows(0, 2.0), Judging()), compare(windows(0, 2.0), windows(1, 0.5), Judging())
    assert alone == {line.measure: line.dense for line in certificate.lines}


@pytest.mark.parametrize("training", [False, True])
def test_judging_leaves_the_model_as_it_was(training: bool, checkpoint: Checkpoint, tables: list[CorpusTable]) -> None:
    denoiser = checkpoint.denoiser
    try:
        denoiser.train(training)
        assert len(judge_windows(denoiser, tables, checkpoint.serializer, Judging(1, 2))) == 1
        assert denoiser.training is training
    finally:
        denoiser.eval()


def test_equal_models_differ_by_nothing_at_all() -> None:
    certificate = compare(windows(0, 2.0), windows(0, 2.0), Judging())
    assert {line.difference for line in certificate.lines} == {(0.0, 0.0, 0.0)}
    certificate.check(0.0)


def test_a_worse_model_is_refused_by_name_and_figure() -> None:
    certificate = compare(windows(0, 2.0), windows(1, 0.5), Judging())
    fill = certificate.lines[0]
    assert fill.dense[0] > 50 > fill.compressed[0]
    assert fill.difference[0] == pytest.approx(fill.compressed[0] - fill.dense[0], abs=0.011)
    assert fill.difference[1] < fill.difference[0] < fill.difference[2] < 0
    with pytest.raises(RefusedError, match=rf"masked cells, exact match falls from {fill.dense[0]:.1f} to"):
        certificate.check(5.0)
    certificate.check(100.0)


def test_only_decisive_measures_refuse() -> None:
    same, worse = (50.0, 40.0, 60.0), (-30.0, -40.0, -20.0)
    repairs = Line("repair_exact_match", same, same, worse)
    Certificate((repairs,), Judging()).check(5.0)
    with pytest.raises(RefusedError, match="detection"):
        Certificate((repairs, Line("detection_best_f1", same, same, worse)), Judging()).check(5.0)


def test_the_table_names_both_models() -> None:
    text = compare(windows(0, 2.0), windows(1, 1.0), Judging()).to_markdown()
    assert text.splitlines()[0] == "| % [95 % interval] | dense | compressed | difference |"
    assert len(text.splitlines()) == 6
