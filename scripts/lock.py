"""Write requirements.lock: the exact versions that pip resolves for the project and all its extras.

    .venv/bin/python scripts/lock.py requirements.lock

The file holds names and versions and nothing else, so it suits any package index; it is used as constraints.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = "# Made by `make lock`: pip constraints for the project and all its extras. Do not edit.\n"


def resolved_versions() -> dict[str, str]:
    """Version by canonical project name, of everything that a fresh environment would get; installs nothing.

    Raises:
        subprocess.CalledProcessError: pip found no set of versions that fits.
    """
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = ",".join(tomllib.load(file)["project"]["optional-dependencies"])
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-"]
    finished = subprocess.run([*command, f"{ROOT}[{extras}]"], check=True, stdout=subprocess.PIPE)
    found = (item["metadata"] for item in json.loads(finished.stdout)["install"])
    return {str(item["name"]).lower().replace("_", "-").replace(".", "-"): str(item["version"]) for item in found}


def lock_text(versions: dict[str, str]) -> str:
    """Sorted constraints; a local version such as `+cpu` is dropped, because only some indexes have it."""
    lines = (f"{name}=={version.partition('+')[0]}" for name, version in sorted(versions.items()))
    return HEADER + "\n".join(line for line in lines if not line.startswith("rpt-service==")) + "\n"


def main() -> int:
    """Write the file that the one argument names; gives 0."""
    text = lock_text(resolved_versions())
    Path(sys.argv[1]).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
