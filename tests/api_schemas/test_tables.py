"""A table in JSON has two forms and one meaning; what has none is refused with its place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from api_schemas.tables import Table


def read(table: dict[str, Any]) -> Table:
    return Table.model_validate(json.loads(json.dumps(table)))


def fault(table: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Type and context of the only error."""
    with pytest.raises(ValidationError) as caught:
        Table.model_validate(table)
    (error,) = caught.value.errors()
    return error["type"], error.get("ctx", {})


def test_rows_and_records_mean_the_same_table() -> None:
    rows = read({"columns": ["a", {"name": "b", "description": "second"}], "rows": [["1", None], ["", "x"]]})
    records = read({"records": [{"a": "1"}, {"a": "", "b": "x"}]})
    assert rows.names == records.names == ("a", "b")
    assert rows.texts() == records.texts() == [("1", None), ("", "x")]
    assert rows.height == records.height == 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("007", "007"),
        ("", ""),
        (None, None),
        (True, "true"),
        (False, "false"),
        (7, "7"),
        (-0.5, "-0.5"),
        (1.5, "1.5"),
        (10**30, "1" + "0" * 30),
        (1e-7, "1e-07"),
        ("a\x00b", "a\x00b"),
        ("naïve 😀", "naïve 😀"),
    ],
)
def test_a_cell_becomes_text(value: object, text: str | None) -> None:
    assert read({"columns": ["a"], "rows": [[value]]}).texts() == [(text,)]


def test_a_table_may_have_no_rows_and_a_record_may_be_empty() -> None:
    assert read({"columns": ["a"], "rows": []}).texts() == []
    assert read({"records": [{}, {"a": 1}]}).texts() == [(None,), ("1",)]


@pytest.mark.parametrize(
    ("table", "kind", "context"),
    [
        ({}, "table_form", {}),
        ({"columns": ["a"]}, "table_form", {}),
        ({"rows": [["1"]]}, "table_form", {}),
        ({"columns": ["a"], "rows": [], "records": []}, "table_form", {}),
        ({"columns": ["a"], "records": [{"a": 1}]}, "table_form", {}),
        ({"columns": [], "rows": []}, "no_columns", {}),
        ({"records": []}, "no_columns", {}),
        ({"columns": ["a", "b", "a"], "rows": []}, "duplicate_column", {"pointer": "/columns/2"}),
        ({"columns": ["a", "b"], "rows": [["1", "2"], ["1"]]}, "ragged_row", {"row": 1, "pointer": "/rows/1"}),
        ({"columns": ["a"], "rows": [["1"], []]}, "ragged_row", {"cells": 0, "columns": 1}),
    ],
)
def test_a_table_that_is_none_is_refused(table: dict[str, Any], kind: str, context: dict[str, Any]) -> None:
    found, details = fault(table)
    assert found == kind
    assert {name: details[name] for name in context} == context


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", [], {}])
def test_a_cell_that_is_no_cell_is_refused_with_its_place(value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        Table.model_validate({"columns": ["a"], "rows": [["x"], [value]]})
    assert {error["loc"][:3] for error in caught.value.errors()} == {("rows", 1, 0)}


def test_unknown_fields_are_refused() -> None:
    assert fault({"columns": ["a"], "rows": [], "headers": True})[0] == "extra_forbidden"
