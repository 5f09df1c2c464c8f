"""The error tree: user mistakes are one branch and carry the place."""

from __future__ import annotations

import pytest

from model.errors import CheckpointError, InputError, ModelError, OptionError, RelationError


@pytest.mark.parametrize("error", [RelationError, OptionError])
def test_an_input_error_carries_its_place(error: type[InputError]) -> None:
    raised = error("wrong", tuple_id=3, attribute=1, field="examples")
    assert str(raised) == "wrong"
    assert (raised.tuple_id, raised.attribute, raised.field) == (3, 1, "examples")
    assert isinstance(raised, InputError)
    assert isinstance(raised, ModelError)


def test_a_place_is_unknown_unless_given() -> None:
    raised = InputError("wrong")
    assert (raised.tuple_id, raised.attribute, raised.field) == (None, None, None)


def test_a_checkpoint_error_is_no_mistake_of_the_caller() -> None:
    assert issubclass(CheckpointError, ModelError)
    assert not issubclass(CheckpointError, InputError)
