"""A process reads its settings from `RPT_…`, and never listens to other machines without keys."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from service.settings import Settings


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No `RPT_…` variable and no `.env` file but those that a test makes."""
    for name in [name for name in os.environ if name.upper().startswith("RPT_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def keys_of(settings: Settings) -> list[str]:
    """The keys in clear."""
    return [key.get_secret_value() for key in settings.api_keys]


def test_defaults_listen_on_loopback_without_keys() -> None:
    assert Settings().model_dump() == {
        "host": "127.0.0.1",
        "port": 8000,
        "api_keys": (),
        "model": None,
        "models": None,
        "precision": "auto",
        "threads": 0,
        "max_body_bytes": 33_554_432,
        "max_rows": 20_000,
        "max_columns": 500,
        "max_cells": 500_000,
        "max_cell_characters": 100_000,
        "max_requests": 32,
        "max_running": 4,
        "adapt_max_steps": 400,
        "adapt_max_cells": 100_000,
        "drain_seconds": 30,
        "log_level": "info",
    }


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("RPT_HOST", "::1", "host", "::1"),
        ("RPT_PORT", "0", "port", 0),
        ("RPT_MODEL", "weights/mine", "model", Path("weights/mine")),
        ("RPT_PRECISION", "bfloat16", "precision", "bfloat16"),
        ("RPT_THREADS", "8", "threads", 8),
        ("RPT_MAX_BODY_BYTES", "1", "max_body_bytes", 1),
        ("RPT_MAX_ROWS", "2", "max_rows", 2),
        ("RPT_MAX_COLUMNS", "3", "max_columns", 3),
        ("RPT_MAX_CELLS", "4", "max_cells", 4),
        ("RPT_MAX_CELL_CHARACTERS", "5", "max_cell_characters", 5),
        ("RPT_MAX_REQUESTS", "6", "max_requests", 6),
        ("RPT_MAX_RUNNING", "7", "max_running", 7),
        ("RPT_ADAPT_MAX_STEPS", "0", "adapt_max_steps", 0),
        ("RPT_ADAPT_MAX_CELLS", "8", "adapt_max_cells", 8),
        ("RPT_DRAIN_SECONDS", "0", "drain_seconds", 0),
        ("rpt_log_level", "debug", "log_level", "debug"),
    ],
)
def test_every_setting_is_a_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, name: str, value: object
) -> None:
    monkeypatch.setenv(variable, text)
    assert getattr(Settings(), name) == value


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("one", ["one"]),
        ("one,two", ["one", "two"]),
        (" one , two with a blank ,", ["one", "two with a blank"]),
        ('["one"]', ['["one"]']),
        ("", []),
        (" , ,", []),
    ],
)
def test_keys_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch, text: str, keys: list[str]) -> None:
    monkeypatch.setenv("RPT_API_KEYS", text)
    assert keys_of(Settings()) == keys


def test_an_env_file_is_read_and_a_variable_is_stronger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("RPT_PORT=9000\nRPT_THREADS=2\nRPT_API_KEYS=one,two\nOTHER=1\n")
    monkeypatch.setenv("RPT_PORT", "9001")
    settings = Settings()
    assert (settings.port, settings.threads, keys_of(settings)) == (9001, 2, ["one", "two"])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "127.255.255.254", "::1", "[::1]", "localhost"])
def test_a_loopback_address_needs_no_key(host: str) -> None:
    settings = Settings(host=host)
    assert (settings.host, settings.api_keys) == (host, ())


PUBLIC = ["0.0.0.0", "::", "[::]", "192.168.1.5", "10.0.0.1", "2001:db8::1", "example.org", "127.0.0.1.nip.io", ""]


@pytest.mark.parametrize("keys", [None, "", " , "])
@pytest.mark.parametrize("host", PUBLIC)
def test_a_public_address_without_keys_is_refused(monkeypatch: pytest.MonkeyPatch, host: str, keys: str | None) -> None:
    monkeypatch.setenv("RPT_HOST", host)
    if keys is not None:
        monkeypatch.setenv("RPT_API_KEYS", keys)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert [error["msg"] for error in caught.value.errors()] == [
        f"Value error, host {host} is open to other machines: set RPT_API_KEYS to the keys that clients may use"
    ]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.org"])
def test_a_public_address_with_a_key_is_taken(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("RPT_HOST", host)
    monkeypatch.setenv("RPT_API_KEYS", "one")
    settings = Settings()
    assert (settings.host, keys_of(settings)) == (host, ["one"])


LIMITS = [
    "max_body_bytes",
    "max_rows",
    "max_columns",
    "max_cells",
    "max_cell_characters",
    "max_requests",
    "max_running",
]


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_is_at_least_one(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"RPT_{name.upper()}", "1")
    assert getattr(Settings(), name) == 1
    monkeypatch.setenv(f"RPT_{name.upper()}", "0")
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert [(error["loc"], error["msg"]) for error in caught.value.errors()] == [
        ((name,), "Input should be greater than or equal to 1")
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("port", "65536", "Input should be less than or equal to 65535"),
        ("port", "-1", "Input should be greater than or equal to 0"),
        ("port", "http", "Input should be a valid integer, unable to parse string as an integer"),
        ("threads", "-1", "Input should be greater than or equal to 0"),
        ("threads", "1025", "Input should be less than or equal to 1024"),
        ("drain_seconds", "-1", "Input should be greater than or equal to 0"),
        ("precision", "int8", "Input should be 'auto', 'bfloat16' or 'float32'"),
        ("log_level", "loud", "Input should be 'debug', 'info', 'warning' or 'error'"),
    ],
)
def test_a_value_that_makes_no_sense_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, message: str
) -> None:
    monkeypatch.setenv(f"RPT_{name.upper()}", text)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert [(error["loc"], error["msg"]) for error in caught.value.errors()] == [((name,), message)]


def test_keys_are_not_shown_where_settings_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RPT_API_KEYS", "hush-1,hush-2")
    monkeypatch.setenv("RPT_PORT", "65536")
    with pytest.raises(ValidationError) as caught:
        Settings()
    settings = Settings(port=1)
    shown = f"{settings!r} {settings} {settings.model_dump_json()} {caught.value}"
    assert "hush" not in shown
    assert shown.count("**********") >= 6


def test_settings_do_not_change() -> None:
    settings: Any = Settings()
    with pytest.raises(ValidationError, match="Instance is frozen"):
        settings.host = "0.0.0.0"
    assert settings.host == "127.0.0.1"
