"""How fast and how large the service is here: start-up time, rows per second, peak memory.

    python scripts/benchmark.py TABLE.csv [--requests N]

starts `rpt serve` as a user would, waits for /readyz, sends the whole table to `POST /v1/clean` with defaults, and
prints one line a figure. Figures hold for this machine while nothing else runs on it.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx


@contextmanager
def served() -> Iterator[tuple[httpx.Client, int, float]]:
    """A served process: a client of it, its process id, and seconds until it was ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "service.cli", "serve", "--port", str(port)],
        env={**os.environ, "RPT_LOG_LEVEL": "error"},
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=3600) as client:
            while not _is_ready(client):
                if process.poll() is not None:
                    raise SystemExit("the service ended before it was ready")
                time.sleep(0.02)
            yield client, process.pid, time.monotonic() - began
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").is_success
    except httpx.TransportError:
        return False


def memory(pid: int, field: str) -> float:
    """A figure of /proc/PID/status in megabytes: `VmRSS` now, `VmHWM` at its highest."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    match = re.search(rf"^{field}:\s+(\d+) kB", text, re.MULTILINE)
    return int(match[1]) / 1024 if match else float("nan")


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; gives 0."""
    parser = argparse.ArgumentParser(description="Measure the service on a table.")
    parser.add_argument("table", type=Path)
    parser.add_argument("--requests", type=int, default=3, help="how often the table is sent, one after another")
    options = parser.parse_args(argv)
    with options.table.open(encoding="utf-8", newline="") as file:
        columns, *rows = csv.reader(file)
    with served() as (client, pid, seconds):
        print(f"start-up      {seconds:6.1f} s     until /readyz answered 200")
        print(f"memory        {memory(pid, 'VmRSS'):6.0f} MB    resident before the first request")
        for number in range(options.requests):
            began = time.monotonic()
            response = client.post("/v1/clean", json={"table": {"columns": columns, "rows": rows}})
            elapsed = time.monotonic() - began
            summary = response.raise_for_status().json()["summary"]
            figures = f"{len(rows)} rows in {elapsed:.1f} s, {summary['flagged']} flagged"
            print(f"request {number + 1}     {len(rows) / elapsed:6.1f} rows/s {figures}")
        print(f"peak memory   {memory(pid, 'VmHWM'):6.0f} MB    resident")
    return 0


if __name__ == "__main__":
    sys.exit(main())
