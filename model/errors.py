"""What can go wrong inside `model`, as one small tree.

ModelError
├── CheckpointError         a checkpoint folder is missing, incomplete, or of another format version
└── InputError              the caller's data or options are at fault; the message names the place
    ├── RelationError       the table itself: ragged rows, duplicate or empty attribute names
    └── OptionError         an option or a rule that does not fit the table
"""


class ModelError(Exception):
    """Base of every error that this package raises on purpose."""


class CheckpointError(ModelError):
    """A checkpoint folder cannot be loaded: something is missing, damaged, or of another format version."""


class InputError(ModelError):
    """The caller's data or options are at fault.

    Args:
        message: what is wrong, in words for the person who sent it; never a cell's text.
        tuple_id: index of the tuple (row) where it is wrong, where that is known.
        attribute: index of the attribute (column) where it is wrong, where that is known.
        field: name of the option at fault, where it is an option.
    """

    def __init__(
        self, message: str, *, tuple_id: int | None = None, attribute: int | None = None, field: str | None = None
    ) -> None:
        super().__init__(message)
        self.tuple_id = tuple_id
        self.attribute = attribute
        self.field = field


class RelationError(InputError):
    """The table is at fault: ragged rows, duplicate or empty attribute names, no attributes."""


class OptionError(InputError):
    """An option, example or rule does not fit the table it came with."""
