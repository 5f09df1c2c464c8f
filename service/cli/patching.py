"""`rpt patch apply` and `rpt patch revert`: replay or undo a patch log, byte for byte."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from service.cli.terminal import failing_plainly, say
from service.patches import Direction, PatchError, patch_table, read_patches
from service.storage.files import open_table, same_file, written_whole
from service.storage.table_file import TableFileError

STANDARD = "-"

patch_app = typer.Typer(help="Replay or undo a patch log.", no_args_is_help=True)

TableArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The table file.")]
PatchesArgument = Annotated[Path, typer.Argument(metavar="PATCHES", help="The patch log (JSON Lines).")]
OutputOption = Annotated[str, typer.Option("--output", "-o", metavar="OUT", help="Where the copy goes; - is stdout.")]
EncodingOption = Annotated[str | None, typer.Option("--encoding", help="Instead of the detected encoding.")]
DelimiterOption = Annotated[str | None, typer.Option("--delimiter", help="Instead of the detected delimiter.")]


@patch_app.command()
def apply(
    file: TableArgument,
    patches: PatchesArgument,
    output: OutputOption,
    encoding: EncodingOption = None,
    delimiter: DelimiterOption = None,
) -> None:
    """Make all changes of a patch log in a copy of FILE; refused where a cell does not hold its old value."""
    _patch(file, patches, output, encoding, delimiter, "apply")


@patch_app.command()
def revert(
    file: TableArgument,
    patches: PatchesArgument,
    output: OutputOption,
    encoding: EncodingOption = None,
    delimiter: DelimiterOption = None,
) -> None:
    """Undo all changes of a patch log in a copy of FILE; refused where a cell does not hold its new value."""
    _patch(file, patches, output, encoding, delimiter, "revert")


def _patch(
    file: Path, patches: Path, output: str, encoding: str | None, delimiter: str | None, direction: Direction
) -> None:
    with failing_plainly(TableFileError, PatchError, OSError):
        if output != STANDARD and any(same_file(Path(output), taken) for taken in (file, patches)):
            raise typer.BadParameter(f"{output} is an input, which is never overwritten")
        with open_table(file, encoding=encoding, delimiter=delimiter) as table:
            if output == STANDARD:
                count = patch_table(table, read_patches(patches), sys.stdout.buffer, direction)
                sys.stdout.buffer.flush()
            else:
                with written_whole(Path(output)) as sink:
                    count = patch_table(table, read_patches(patches), sink, direction)
        done = "changed" if direction == "apply" else "put back"
        say(f"{count:,} cells {done}: {'stdout' if output == STANDARD else output}")
