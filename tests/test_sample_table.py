"""The committed sample is what its script makes, and its error list explains every difference."""

import csv
import importlib.util
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_sample", EXAMPLES / "make_sample.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_sample"] = module
    spec.loader.exec_module(module)
    return module


def read(name: str) -> list[list[str]]:
    with (EXAMPLES / name).open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, strict=True))


def test_committed_files_are_what_the_script_makes(script: ModuleType) -> None:
    made = script.make_files()
    assert sorted(made) == ["clinics_clean.csv", "clinics_dirty.csv", "clinics_errors.csv"]
    for name, content in made.items():
        assert (EXAMPLES / name).read_bytes() == content, f"run examples/make_sample.py: {name} is out of date"


def test_the_script_writes_into_the_folder_that_it_is_given(script: ModuleType, tmp_path: Path) -> None:
    assert script.main([str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == set(script.make_files())


def test_the_error_list_names_every_difference_and_nothing_else() -> None:
    clean, dirty = read("clinics_clean.csv"), read("clinics_dirty.csv")
    header = clean[0]
    assert dirty[0] == header and len(clean) == len(dirty) == 301
    differences = {
        (str(row), header[place]): (value, true)
        for row, (values, truth) in enumerate(zip(dirty[1:], clean[1:], strict=True))
        for place, (value, true) in enumerate(zip(values, truth, strict=True))
        if value != true
    }
    listed = {(row, column): (wrong, true) for row, column, _, wrong, true in read("clinics_errors.csv")[1:]}
    assert listed == differences
    assert len(listed) == 160


def test_the_sample_has_many_kinds_of_errors() -> None:
    assert Counter(kind for _, _, kind, _, _ in read("clinics_errors.csv")[1:]) == {
        "typo": 40,
        "format drift": 24,
        "missing spelling": 18,
        "violated dependency": 16,
        "wrong case": 14,
        "truncated": 12,
        "numeric slip": 10,
        "swapped values": 10,
        "lost zero": 8,
        "stray blanks": 8,
    }


def test_the_truth_keeps_its_dependencies_and_its_leading_zeros() -> None:
    header, *rows = read("clinics_clean.csv")
    place = {name: number for number, name in enumerate(header)}
    for determinant, dependents in {
        "zip": ("city", "state"),
        "clinic_id": ("clinic", "street", "zip", "phone"),
    }.items():
        for dependent in dependents:
            pairs = {(row[place[determinant]], row[place[dependent]]) for row in rows}
            assert len(pairs) == len({left for left, _ in pairs}), f"{determinant} does not determine {dependent}"
    zips = [row[place["zip"]] for row in rows]
    assert all(len(code) == 5 for code in zips)
    assert sum(code.startswith("0") for code in zips) > 100


def test_some_fields_are_quoted() -> None:
    text = (EXAMPLES / "clinics_dirty.csv").read_bytes()
    assert b'"cleaning, filling, ""same-day"" crown"' in text
    assert b"\r" not in text and text.endswith(b"\n")


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_score_counts_repairs_and_harm() -> None:
    scoring = load("score")
    _, *errors = read("clinics_errors.csv")
    clean, dirty = read("clinics_clean.csv")[1:], read("clinics_dirty.csv")[1:]
    assert scoring.score(clean)[0] == f"{len(errors)} errors: {len(errors)} repaired rightly, 0 cells changed wrongly"
    assert scoring.score(dirty)[0] == f"{len(errors)} errors: 0 repaired rightly, 0 cells changed wrongly"
    harmed = [list(row) for row in clean]
    untouched = next(row for row in range(300) if clean[row] == dirty[row])
    harmed[untouched][0] = "nonsense"
    assert scoring.score(harmed)[0] == f"{len(errors)} errors: {len(errors)} repaired rightly, 1 cells changed wrongly"
    kinds = {line.split(":")[0].strip() for line in scoring.score(clean)[1:]}
    assert kinds == {error[2] for error in errors}
