"""`rpt doctor`: can this machine run the service, and if not, what is missing.

The one idea: every check is a function that returns what it found; one that is broken makes the exit code 1.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from service.cli.terminal import PROBLEM, console

OLDEST_PYTHON = (3, 11)
NEEDED_MEMORY = 1_200_000_000
NEEDED_DISK = 1_000_000_000


class State(StrEnum):
    """How a check ended; only `broken` stops the service from working."""

    GOOD = "good"
    NOTE = "note"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    subject: str
    state: State
    detail: str


def check_python() -> Finding:
    """The interpreter is new enough."""
    state = State.GOOD if sys.version_info >= OLDEST_PYTHON else State.BROKEN
    return Finding("Python", state, f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def check_torch() -> Finding:
    """PyTorch can be imported."""
    try:
        import torch
    except (ImportError, OSError) as error:
        return Finding("PyTorch", State.BROKEN, f"cannot be imported: {error}")
    device = f"CUDA {torch.version.cuda}" if torch.cuda.is_available() else "CPU"
    return Finding("PyTorch", State.GOOD, f"{torch.__version__}, {device}")


def check_threads() -> Finding:
    """How many threads the model will use of the processors that this process may use."""
    import torch

    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    used = torch.get_num_threads()
    state = State.NOTE if used > available else State.GOOD
    return Finding("Threads", state, f"{used} used, {available} processors available")


def check_bfloat16() -> Finding:
    """Whether the processor multiplies bfloat16 in hardware; without it float32 is used."""
    import torch

    if torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported():  # type: ignore[no-untyped-call]
        return Finding("bfloat16", State.GOOD, "supported by the processor")
    return Finding("bfloat16", State.NOTE, "not supported by the processor; float32 is used")


def check_memory() -> Finding:
    """Enough memory is free for the model and one request."""
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return Finding("Memory", State.NOTE, "cannot be read on this system")
    # Pages of the file cache count as taken here though they are given back on demand: short is a note, not a fault.
    state = State.GOOD if free >= NEEDED_MEMORY else State.NOTE
    state = state if total >= NEEDED_MEMORY else State.BROKEN
    return Finding("Memory", state, f"{free / 1e9:.1f} GB free of {total / 1e9:.1f} GB")


def check_disk(folder: Path) -> Finding:
    """Enough disk is free where the service keeps its data."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not os.access(existing, os.W_OK):
        return Finding("Disk", State.BROKEN, f"{existing} cannot be written")
    free = shutil.disk_usage(existing).free
    state = State.GOOD if free >= NEEDED_DISK else State.NOTE
    return Finding("Disk", state, f"{free / 1e9:.1f} GB free at {existing}")


def check_port(host: str, port: int) -> Finding:
    """The port is free to listen on."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return Finding("Port", State.BROKEN, f"{host}:{port}: {error.strerror or error}")
    return Finding("Port", State.GOOD, f"{host}:{port} is free")


def check_weights(folder: Path | None) -> Finding:
    """The weights are there, whole, and load."""
    from service.cli.judging import JudgingError, describe_weights

    try:
        described = describe_weights(folder)
    except JudgingError as error:
        return Finding("Weights", State.BROKEN, str(error))
    short = f"{described.name} {described.version}, sha256 {described.sha256[:16]}…"
    if described.expected_sha256 is None:
        return Finding("Weights", State.NOTE, f"{short}; the card names no hash to compare with")
    if described.expected_sha256 != described.sha256:
        return Finding("Weights", State.BROKEN, f"{short} is not the hash on the card: the file is damaged")
    return Finding("Weights", State.GOOD, f"{short} as on the card")


def gather(checks: list[Callable[[], Finding]]) -> list[Finding]:
    """Run all checks; one that fails itself is a broken finding, not the end."""
    findings = []
    for check in checks:
        try:
            findings.append(check())
        except Exception as error:  # a doctor reports whatever is wrong
            name = getattr(check, "__name__", "check").removeprefix("check_")
            findings.append(Finding(name.capitalize(), State.BROKEN, f"{type(error).__name__}: {error}"))
    return findings


def doctor(
    host: Annotated[str | None, typer.Option(help="Address to try. Default: as for serve.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to try. Default: as for serve.")] = None,
    model: Annotated[Path | None, typer.Option("--model", metavar="DIR", help="A checkpoint folder.")] = None,
) -> None:
    """Check that this machine can run the service; exit code 1 when something is broken."""

    def port_is_free() -> Finding:
        from service.settings import Settings

        settings = Settings()
        return check_port(host or settings.host, settings.port if port is None else port)

    findings = gather(
        [
            check_python,
            check_torch,
            check_threads,
            check_bfloat16,
            lambda: check_weights(model),
            check_memory,
            lambda: check_disk(Path.cwd()),
            port_is_free,
        ]
    )
    colours = {State.GOOD: "green", State.NOTE: "yellow", State.BROKEN: "bold red"}
    table = Table("Check", "State", "Found")
    for finding in findings:
        table.add_row(finding.subject, Text(finding.state, style=colours[finding.state]), Text(finding.detail))
    console().print(table)
    if any(finding.state is State.BROKEN for finding in findings):
        raise typer.Exit(PROBLEM)
