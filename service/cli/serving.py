"""`rpt serve`: the REST service in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.cli.terminal import CommandError, failing_plainly


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: RPT_HOST or 127.0.0.1.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on. Default: RPT_PORT or 8000.")
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option("--model", metavar="NAME_OR_DIR", help="A checkpoint folder instead of the one in the box."),
    ] = None,
) -> None:
    """Serve the REST API; SIGTERM and Ctrl-C finish the requests at work, then stop.

    Everything else is set by environment variables RPT_…, see the README.
    """
    from pydantic import ValidationError

    from service.main import create_app, run_server
    from service.settings import Settings

    given = {name: value for name, value in {"host": host, "port": port, "model": model}.items() if value is not None}
    with failing_plainly(OSError):
        try:
            settings = Settings(**given)  # type: ignore[arg-type]  # validated there
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, item['loc'])) or 'settings'}: {item['msg']}" for item in error.errors()
            )
            raise CommandError(problems) from None
        run_server(create_app(settings), settings)
