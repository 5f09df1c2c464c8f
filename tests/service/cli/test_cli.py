"""The command line: data to files and stdout, words to stderr, exit codes that scripts can trust."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from model.checkpoint import Checkpoint
from service.cli import cleaning as cleaning_commands
from service.cli import diagnosis as doctor_command
from service.cli import evaluation as evaluation_commands
from service.cli import main
from service.cli import terminal as terminal_module
from service.cli.diagnosis import Finding, State, check_disk, check_port, check_python, gather
from service.cli.judging import JudgingError, JudgingOptions, WeightsDescription
from service.cli.terminal import ProgressBars
from service.table_run import AdaptationCounts, Judge, Judgement, Progress

Rows = list[tuple[str | None, ...]]
CONTENT = b'\xef\xbb\xbfid;"city"\r\n007;"Bostn"\r\n008;\r\n009;Bostn\r\n'
CLEANED = b'\xef\xbb\xbfid;"city"\r\n007;"Boston"\r\n008;\r\n009;Boston\r\n'
COMPLETED = CONTENT.replace(b"008;", b"008;Rome")


class FakeJudges:
    """Knows one typo and one missing value, and remembers what it was asked."""

    model: Mapping[str, str] = {"name": "fake", "version": "1", "sha256": "ab"}

    def __init__(self) -> None:
        self.asked: list[JudgingOptions] = []
        self.examples: list[tuple[int, int, str | None]] = []
        self.adaptation = AdaptationCounts()

    def cleaning(self, options: JudgingOptions) -> Judge:
        """Bostn is Boston."""
        self.asked.append(options)

        def judge(names: Sequence[str], rows: Rows, progress: Progress) -> list[Judgement]:
            progress("detect", len(rows), len(rows))
            self.examples += options.labels.examples()
            for row in range(len(rows))[: options.labels.wanted]:
                options.labels.suggest(row, "like many")
            outcome = "abstained" if options.detect_only else "repaired"
            return [
                Judgement(row, column, outcome, "Boston", 0.9, 0.95, evidence_source="model")  # type: ignore[arg-type]
                for row, values in enumerate(rows)
                for column, value in enumerate(values)
                if value == "Bostn" and (options.columns is None or column in options.columns)
            ]

        return judge

    def completion(self, options: JudgingOptions) -> Judge:
        """What is missing is Rome."""
        self.asked.append(options)

        def judge(names: Sequence[str], rows: Rows, progress: Progress) -> list[Judgement]:
            return [
                Judgement(row, column, "filled", "Rome", 0.8)
                for row, values in enumerate(rows)
                for column, value in enumerate(values)
                if not value
            ]

        return judge


@pytest.fixture
def judges(monkeypatch: pytest.MonkeyPatch) -> FakeJudges:
    """Commands load the fake instead of a model."""
    fake = FakeJudges()

    @contextlib.contextmanager
    def load(folder: Path | None = None) -> Iterator[FakeJudges]:
        if folder is not None:
            raise JudgingError(f"no checkpoint folder {folder.name!r}")
        yield fake

    monkeypatch.setattr(cleaning_commands, "load_judges", load)
    return fake


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dirty file in the working folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "hotels.csv"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., tuple[int, bytes, str]]:
    """Run a command; gives exit code, stdout and stderr."""

    def command(*arguments: str) -> tuple[int, bytes, str]:
        code = main(arguments)
        out, err = capfdbinary.readouterr()
        return code, out, err.decode()

    return command


Run = Callable[..., tuple[int, bytes, str]]


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_clean_writes_copy_and_patch_log_beside_the_input(judges: FakeJudges, table: Path, run: Run) -> None:
    code, out, err = run("clean", "hotels.csv")
    assert (code, out) == (0, b"")
    assert (table.parent / "hotels.cleaned.csv").read_bytes() == CLEANED
    log = [json.loads(line) for line in (table.parent / "hotels.cleaned.csv.patches.jsonl").read_bytes().splitlines()]
    assert [(line["row"], line["column"], line["old"], line["new"]) for line in log] == [
        (0, "city", "Bostn", "Boston"),
        (2, "city", "Bostn", "Boston"),
    ]
    assert table.read_bytes() == CONTENT
    assert _names(table.parent) == ["hotels.cleaned.csv", "hotels.cleaned.csv.patches.jsonl", "hotels.csv"]
    for told in ("utf-8 with byte order mark", "semicolon", "CRLF", "city", "3 rows", "hotels.cleaned.csv"):
        assert told in err


def test_patches_undo_and_replay_a_run_byte_for_byte(judges: FakeJudges, table: Path, run: Run) -> None:
    assert run("clean", "hotels.csv", "-o", "out.csv")[0] == 0
    log = "out.csv.patches.jsonl"
    assert run("patch", "revert", "out.csv", log, "-o", "back.csv")[0] == 0
    assert Path("back.csv").read_bytes() == CONTENT
    code, out, err = run("patch", "apply", "hotels.csv", log, "-o", "-")
    assert (code, out) == (0, CLEANED)
    assert "2 cells changed: stdout" in err


def test_apply_refuses_another_file_and_names_row_and_column(judges: FakeJudges, table: Path, run: Run) -> None:
    assert run("clean", "hotels.csv")[0] == 0
    table.write_bytes(CONTENT.replace(b"009;Bostn", b"009;Berlin"))
    code, out, err = run("patch", "apply", "hotels.csv", "hotels.cleaned.csv.patches.jsonl", "-o", "again.csv")
    assert (code, out) == (1, b"")
    assert "error: row 2, column 'city': the cell does not hold the value that the patch expects" in err
    assert not Path("again.csv").exists()


def test_complete_fills_missing_cells(judges: FakeJudges, table: Path, run: Run) -> None:
    assert run("complete", "hotels.csv", "--min-confidence", "0.25")[0] == 0
    assert Path("hotels.completed.csv").read_bytes() == COMPLETED
    assert judges.asked == [JudgingOptions(None, 0.25)]


def test_options_reach_the_model(judges: FakeJudges, table: Path, run: Run) -> None:
    options = ["--min-confidence", "0.7", "--max-error-rate", "0.02", "--columns", "city", "--part-rows", "2"]
    code, _, err = run("clean", "hotels.csv", *options)
    assert code == 0
    assert judges.asked == [JudgingOptions(frozenset({1}), 0.7, 0.02, False)]
    assert "judged in 2 parts" in err
    assert Path("hotels.cleaned.csv").read_bytes() == CLEANED


def test_practice_can_be_switched_off(judges: FakeJudges, table: Path, run: Run) -> None:
    assert run("complete", "hotels.csv", "--no-practice", "--report", "r.json")[0] == 0
    assert json.loads(Path("r.json").read_bytes())["options"]["practice"] == "no"
    assert run("complete", "hotels.csv")[0] == 0
    assert judges.asked == [JudgingOptions(practice=False), JudgingOptions()]


def test_adapt_reaches_the_model_and_what_it_took_is_told(judges: FakeJudges, table: Path, run: Run) -> None:
    judges.adaptation = AdaptationCounts(1, 25, 21_000, 12.34)
    for command in ("clean", "complete"):
        code, _, err = run(command, "hotels.csv", "--adapt", "--report", "r.json", "--part-rows", "2")
        assert code == 0
        assert "Adapted: 25 steps over 21,000 tokens in 12.3 s, on 1 of 2 parts" in err
        told = json.loads(Path("r.json").read_bytes())
        took = {"parts": 1, "steps": 25, "encoder_tokens": 21_000, "seconds": 12.34}
        assert (told["options"]["adapt"], told["summary"]["adaptation"]) == ("yes", took)
    assert judges.asked == [JudgingOptions(adapt=True)] * 2
    assert run("clean", "hotels.csv", "--adapt", "--report", "r.html")[0] == 0
    page = Path("r.html").read_text("utf-8")
    assert "<dt>Adapted</dt><dd>25 steps over 21000 tokens in 12.3 s, on 1 of 1 parts</dd>" in page


def test_a_table_that_was_not_adapted_to_says_so(judges: FakeJudges, table: Path, run: Run) -> None:
    assert "Not adapted: there was nothing to fill, or too few rows" in run("clean", "hotels.csv", "--adapt")[2]
    code, _, err = run("clean", "hotels.csv", "--report", "r.json")
    assert code == 0 and "dapted" not in err
    assert json.loads(Path("r.json").read_bytes())["summary"]["adaptation"] is None


def test_other_columns_are_not_judged(judges: FakeJudges, table: Path, run: Run) -> None:
    assert run("clean", "hotels.csv", "--columns", "id")[0] == 0
    assert Path("hotels.cleaned.csv").read_bytes() == CONTENT


def test_a_pipe_gets_the_data_and_nothing_else(judges: FakeJudges, table: Path, run: Run) -> None:
    code, out, _ = run("clean", "hotels.csv", "-o", "-")
    assert (code, out) == (0, CLEANED)
    assert _names(table.parent) == ["hotels.cleaned.csv.patches.jsonl", "hotels.csv"]


def test_stdin_to_stdout_leaves_no_file(
    judges: FakeJudges, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(CONTENT)))
    code, out, err = run("clean", "-", "--report", "r.json")
    assert (code, out) == (0, CLEANED)
    assert _names(tmp_path) == ["r.json"]
    assert json.loads(Path("r.json").read_bytes())["summary"]["total"]["repaired"] == 2


def test_detect_only_writes_the_log_and_no_copy(judges: FakeJudges, table: Path, run: Run) -> None:
    assert run("clean", "hotels.csv", "--detect-only")[0] == 0
    assert _names(table.parent) == ["hotels.cleaned.csv.patches.jsonl", "hotels.csv"]
    assert run("clean", "hotels.csv", "--detect-only", "-o", "same.csv")[0] == 0
    assert Path("same.csv").read_bytes() == CONTENT


def test_reports_are_written_by_their_suffix(judges: FakeJudges, table: Path, run: Run) -> None:
    assert run("clean", "hotels.csv", "--report", "r.html")[0] == 0
    assert run("clean", "hotels.csv", "--report", "r.json", "--quiet") == (0, b"", "")
    assert "<title>Cleaning report: hotels.csv</title>" in Path("r.html").read_text(encoding="utf-8")
    told = json.loads(Path("r.json").read_bytes())
    assert told["model"] == {"name": "fake", "version": "1", "sha256": "ab"}
    assert [cell["row"] for cell in told["cells"]] == [0, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["clean", "hotels.csv", "-o", "hotels.csv"], "never overwritten"),
        (["clean", "hotels.csv", "-o", "./x.csv", "--patches", "x.csv"], "named twice"),
        (["clean", "hotels.csv", "-o", "nowhere/x.csv"], "there is no folder nowhere"),
        (["clean", "hotels.csv", "-o", "x.parquet"], "would hold csv"),
        (["clean", "hotels.csv", "--report", "r.pdf"], ".html or .json"),
        (["clean", "hotels.csv", "--columns", "town"], "no column 'town'; there are: id, city"),
        (["clean", "hotels.csv", "--min-confidence", "2"], "--min-confidence"),
        (["patch", "apply", "hotels.csv", "p.jsonl", "-o", "hotels.csv"], "never overwritten"),
        (["nonsense"], "nonsense"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_writes_nothing(
    judges: FakeJudges, table: Path, run: Run, arguments: list[str], message: str
) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, b"")
    assert message in " ".join(err.replace("│", " ").split())
    assert _names(table.parent) == ["hotels.csv"]


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (None, [], "hotels.csv: No such file or directory"),
        (b"", [], "hotels.csv: the file is empty: a table needs a header row"),
        (b"\x1f\x8b\x08", [], "a compressed file is not a table"),
        (CONTENT, ["--encoding", "klingon"], "unknown encoding 'klingon'"),
        (CONTENT, ["--delimiter", "::"], "one ASCII character"),
        (CONTENT, ["--model", "missing"], "no checkpoint folder 'missing'"),
    ],
)
def test_a_problem_is_exit_code_1_and_writes_nothing(
    judges: FakeJudges, table: Path, run: Run, content: bytes | None, arguments: list[str], message: str
) -> None:
    table.unlink() if content is None else table.write_bytes(content)
    code, out, err = run("clean", "hotels.csv", *arguments)
    assert (code, out) == (1, b"")
    assert err.startswith("error: ") and message in err
    assert "Traceback" not in err
    assert _names(table.parent) == ([] if content is None else ["hotels.csv"])


def test_damaged_rows_are_named_and_pass_through(judges: FakeJudges, table: Path, run: Run) -> None:
    content = b"id,city\n1,Bostn\n2\n3,Bostn\n"
    table.write_bytes(content)
    code, _, err = run("clean", "hotels.csv")
    assert code == 0
    assert "Left alone: line 3, row 1: the row has 1 fields, the header has 2" in err
    assert Path("hotels.cleaned.csv").read_bytes() == content.replace(b"Bostn", b"Boston")


def test_parquet_columns_without_text_are_not_judged(judges: FakeJudges, table: Path, run: Run) -> None:
    pq.write_table(pa.table({"city": ["Bostn", "x"], "raw": [b"\xff", b""]}), "t.parquet")
    assert run("clean", "t.parquet")[0] == 0
    assert pq.read_table("t.cleaned.parquet").to_pydict() == {"city": ["Boston", "x"], "raw": [b"\xff", b""]}
    assert judges.asked[0].columns == frozenset({0})
    code, _, err = run("clean", "t.parquet", "--columns", "raw")
    assert code == 2 and "cannot be judged" in err


def _bars_on(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> tuple[list[float], io.StringIO]:
    """A clock to set, and what progress bars write."""
    clock, screen = [100.0], io.StringIO()
    monkeypatch.setattr("service.cli.terminal.time.monotonic", lambda: clock[0])
    console = Console(file=screen, force_terminal=terminal, width=120, _environ={})
    monkeypatch.setattr(terminal_module, "console", lambda: console)
    return clock, screen


def test_progress_shows_after_two_seconds_with_rate_and_part(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, screen = _bars_on(monkeypatch, terminal=True)
    with ProgressBars() as bars:
        bars.next_part(0.25)
        clock[0] += 1.9
        bars("detect", 10, 1000)
        assert screen.getvalue() == ""
        clock[0] += 0.2
        bars("detect", 20, 1000)
        clock[0] += 2
        bars("detect", 420, 1000)
        bars.refresh()
        assert "Judging rows (part 1, up to 25% of the file)" in screen.getvalue()
        assert re.search(r"420/1000\S* \S*1\d\d\.\d/s", screen.getvalue())


def test_no_progress_is_shown_where_stderr_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, screen = _bars_on(monkeypatch, terminal=False)
    with ProgressBars() as bars:
        clock[0] += 60
        bars("detect", 1, 2)
        bars.refresh()
    assert screen.getvalue().strip() == ""


def test_a_reader_that_leaves_the_pipe_ends_the_command_quietly(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"a\n" + (b"x" * 1023 + b"\n") * 16_384)
    (tmp_path / "p.jsonl").write_bytes(b"")
    command = [
        sys.executable,
        "-m",
        "service.cli",
        "patch",
        "apply",
        str(tmp_path / "t.csv"),
        str(tmp_path / "p.jsonl"),
    ]
    with subprocess.Popen([*command, "-o", "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        assert (process.wait(), process.stderr.read()) == (1, b"")


def test_help_is_quick_because_it_imports_nothing_heavy() -> None:
    check = (
        "import sys; from service.cli import main; code = main(['--help']);"
        "heavy = {'torch', 'transformers', 'pandas', 'pyarrow', 'fastapi', 'sklearn'} & set(sys.modules);"
        "print(sorted(heavy), code)"
    )
    finished = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert finished.stdout.splitlines()[-1] == "[] 0"
    for command in ("serve", "clean", "complete", "patch", "pretrain", "evaluate", "doctor"):
        assert command in finished.stdout


@pytest.mark.parametrize(("command", "module"), [("pretrain", "model.pretraining"), ("compress", "model.compression")])
def test_arguments_and_exit_code_are_forwarded(
    command: str, module: str, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    seen: list[list[str]] = []

    def fake_run(arguments: list[str], check: bool) -> subprocess.CompletedProcess[bytes]:
        seen.append(arguments)
        return subprocess.CompletedProcess(arguments, 3)

    monkeypatch.setattr("service.cli.evaluation.subprocess.run", fake_run)
    assert run(command, "--corpus", "x", "--steps=5", "--help")[0] == 3
    assert seen == [[sys.executable, "-m", module, "--corpus", "x", "--steps=5", "--help"]]


def test_without_the_compression_package_only_compress_is_refused(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setattr("service.cli.evaluation.importlib.util.find_spec", lambda name: None)
    code, _, words = run("compress", "--keep", "0.6")
    assert code == 1
    assert "model.compression is not installed" in words


class FakeMeasured:
    """The tables of an evaluation."""

    def to_markdown(self) -> str:
        """One line."""
        return "| task | f1 |"

    def to_json(self) -> object:
        """One figure."""
        return {"f1": 0.5}

    def pictures(self) -> dict[str, bytes]:
        """One picture."""
        return {"01-it.png": b"png"}

    def to_html(self, pictures: Mapping[str, bytes]) -> str:
        """The names of the pictures."""
        return f"<p>{', '.join(pictures)}</p>"


def test_evaluate_prints_tables_and_writes_the_report(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Run
) -> None:
    asked: list[object] = []

    def measure(*arguments: object) -> object:
        assert isinstance(arguments[-1], ProgressBars)
        asked.append(arguments[:-1])
        return FakeMeasured()

    monkeypatch.setattr(evaluation_commands, "evaluate_model", measure)
    report = tmp_path / "r.json"
    code, out, _ = run("evaluate", "cleaning", "imputation", "--bench", str(tmp_path), "--report", str(report))
    assert (code, out) == (0, b"| task | f1 |\n")
    assert run("evaluate", "--bench", str(tmp_path), "--corpus", str(tmp_path), "--seed", "7")[0] == 0
    assert asked == [(["cleaning", "imputation"], tmp_path, None, None, 0), ([], tmp_path, tmp_path, None, 7)]
    assert json.loads(report.read_bytes()) == {"f1": 0.5}
    assert not list(tmp_path.glob("*plots*"))
    assert run("evaluate", "--bench", str(tmp_path / "none"))[0] == 2
    assert run("evaluate", "--bench", str(tmp_path), "--report", "r.txt")[0] == 2


def test_evaluate_writes_pictures_beside_the_page_or_where_it_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Run
) -> None:
    monkeypatch.setattr(evaluation_commands, "evaluate_model", lambda *_: FakeMeasured())
    page, text, told = tmp_path / "out.html", tmp_path / "out.md", tmp_path / "a" / "b"
    assert run("evaluate", "--bench", str(tmp_path), "--report", str(page), "--report", str(text))[0] == 0
    assert (page.read_text("utf-8"), text.read_text("utf-8")) == ("<p>01-it.png</p>\n", "| task | f1 |\n")
    assert [path.read_bytes() for path in (tmp_path / "out-plots").iterdir()] == [b"png"]
    assert run("evaluate", "--bench", str(tmp_path), "--plots", str(told))[0] == 0
    assert (told / "01-it.png").read_bytes() == b"png"


def test_evaluate_says_which_extra_is_missing_before_it_measures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Run
) -> None:
    monkeypatch.setattr(evaluation_commands, "evaluate_model", lambda *_: pytest.fail("measured in vain"))
    monkeypatch.setattr("service.cli.evaluation.importlib.util.find_spec", lambda name: None)
    code, _, words = run("evaluate", "--bench", str(tmp_path), "--report", str(tmp_path / "out.html"))
    assert code == 1 and ".[evaluation]" in str(words)
    assert not (tmp_path / "out.html").exists()


def test_evaluate_refuses_a_task_that_does_not_exist(tmp_path: Path, run: Run, checkpoint: Checkpoint) -> None:
    code, out, words = run("evaluate", "transforming", "--bench", str(tmp_path), "--model", str(checkpoint.path))
    assert (code, out) == (1, b"") and "no task 'transforming'" in str(words)


def _described(sha256: str, expected: str | None) -> Callable[[Path | None], WeightsDescription]:
    return lambda folder: WeightsDescription("small", "1.0", sha256, expected)


@pytest.mark.parametrize(("expected", "state"), [("aa", State.GOOD), (None, State.NOTE), ("bb", State.BROKEN)])
def test_doctor_compares_the_hash_of_the_weights(
    monkeypatch: pytest.MonkeyPatch, expected: str | None, state: State
) -> None:
    monkeypatch.setattr("service.cli.judging.describe_weights", _described("aa", expected))
    assert doctor_command.check_weights(None).state is state


def test_doctor_reports_missing_weights_as_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(folder: Path | None) -> WeightsDescription:
        raise JudgingError("no checkpoint folder 'x'")

    monkeypatch.setattr("service.cli.judging.describe_weights", missing)
    assert doctor_command.check_weights(None) == Finding("Weights", State.BROKEN, "no checkpoint folder 'x'")


def test_doctor_notices_a_taken_port() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert check_port("127.0.0.1", port).state is State.BROKEN
    assert check_port("127.0.0.1", port).state is State.GOOD


def test_doctor_checks_python_and_disk(tmp_path: Path) -> None:
    assert check_python().state is State.GOOD
    found = check_disk(tmp_path / "not" / "yet")
    assert found.state in (State.GOOD, State.NOTE) and str(tmp_path) in found.detail


def test_a_check_that_fails_itself_is_a_broken_finding() -> None:
    def check_luck() -> Finding:
        raise RuntimeError("none")

    assert gather([check_luck, check_python]) == [
        Finding("Luck", State.BROKEN, "RuntimeError: none"),
        check_python(),
    ]


@pytest.mark.parametrize(("state", "code"), [(State.GOOD, 0), (State.NOTE, 0), (State.BROKEN, 1)])
def test_doctor_fails_only_when_something_is_broken(
    monkeypatch: pytest.MonkeyPatch, run: Run, state: State, code: int
) -> None:
    monkeypatch.setattr(doctor_command, "gather", lambda checks: [Finding("Luck", state, "as it is")])
    found, out, err = run("doctor")
    assert (found, out) == (code, b"")
    assert "Luck" in err and "as it is" in err


def test_rows_to_label_are_written_and_come_back_as_examples(judges: FakeJudges, table: Path, run: Run) -> None:
    code, _, err = run("clean", "hotels.csv", "--suggest-labels", "2")
    assert code == 0 and "hotels.labels.csv" in err
    labels = table.parent / "hotels.labels.csv"
    assert labels.read_text().splitlines() == ["row,reason,id,city", "0,like many,007,Bostn", "1,like many,008,"]
    labels.write_text(labels.read_text().replace("Bostn", "Boston"))
    assert run("clean", "hotels.csv", "--examples", "hotels.labels.csv")[0] == 0
    assert judges.examples == [(0, 0, "007"), (0, 1, "Boston"), (1, 0, "008"), (1, 1, "")]


def test_labels_are_never_written_over_the_examples(judges: FakeJudges, table: Path, run: Run) -> None:
    run("clean", "hotels.csv", "--suggest-labels", "1")
    code, _, err = run("clean", "hotels.csv", "--suggest-labels", "1", "--examples", "hotels.labels.csv")
    assert code == 2 and "say another --labels" in err


def test_a_place_for_labels_without_a_number_of_them_is_refused(judges: FakeJudges, table: Path, run: Run) -> None:
    code, _, err = run("clean", "hotels.csv", "--labels", "l.csv")
    assert code == 2 and "say how many" in err


def test_threads_sleep_when_they_wait_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert run("--help")[0] == 0
    assert os.environ["OMP_WAIT_POLICY"] == "passive"
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    run("--help")
    assert os.environ["OMP_WAIT_POLICY"] == "active"
