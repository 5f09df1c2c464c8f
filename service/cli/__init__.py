"""The command line `rpt`: everything the service does, on files.

The one idea: data goes to stdout or to files, words go to stderr, so every command can stand in a pipe. Exit codes:
0 done, 1 a problem (the message names file, line, row and column where known), 2 wrong usage, 130 interrupted.
Heavy packages are imported by the command that needs them, so `rpt --help` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer

from service.cli.annotating import annotate
from service.cli.cleaning import clean, complete
from service.cli.columns import match_schema
from service.cli.diagnosis import doctor
from service.cli.evaluation import compress, evaluate, pretrain
from service.cli.extracting import extract
from service.cli.patching import patch_app
from service.cli.resolving import resolve
from service.cli.serving import serve
from service.cli.transforming import transform

app = typer.Typer(
    name="rpt",
    help="Repair, fill, resolve, match, extract and transform the values of tables; serve all of it over REST.",
    epilog="Exit codes: 0 done, 1 a problem, 2 wrong usage, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(serve)
app.command()(clean)
app.command()(complete)
app.command()(resolve)
app.command("match-schema")(match_schema)
app.command()(annotate)
app.command()(extract)
app.command()(transform)
app.add_typer(patch_app, name="patch")
_FORWARD = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
app.command(context_settings=_FORWARD)(pretrain)
app.command(context_settings=_FORWARD)(compress)
app.command()(evaluate)
app.command()(doctor)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    # Set before torch is imported: its threads then sleep when they wait, instead of taking turns from other processes.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        app(args=list(sys.argv[1:] if arguments is None else arguments), prog_name="rpt")
    except SystemExit as finish:
        return finish.code if isinstance(finish.code, int) else int(finish.code is not None)
    return 0
