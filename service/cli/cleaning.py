"""`rpt clean` and `rpt complete`: a table file in, its repaired copy, a patch log and a report out."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.table import Table
from rich.text import Text

from service.cli.judging import Judges, JudgingError, JudgingOptions, load_judges
from service.cli.labels import Labels, read_labels
from service.cli.terminal import CommandError, ProgressBars, console, failing_plainly, say
from service.patches import PatchError
from service.report import RunReport, write_report
from service.storage.files import copy_name, open_table, same_file, suffix_format, written_whole
from service.storage.table_file import ROWS_PER_CHUNK, FileFormat, RowChunk, TableFile, TableFileError, unique_names
from service.table_run import AdaptationCounts, ColumnCounts, Judge, RunSummary, run_table

STANDARD = "-"
PROBLEMS = (TableFileError, PatchError, JudgingError, OSError)

File = Annotated[str, typer.Argument(metavar="FILE", help="CSV, TSV, JSON Lines, Parquet or XLSX file; - is stdin.")]
Output = Annotated[
    str | None,
    typer.Option("--output", "-o", metavar="OUT", help="Where the copy goes; - is stdout. Default: FILE.cleaned.csv."),
]
MinConfidence = Annotated[
    float, typer.Option(min=0.0, max=1.0, help="Below this confidence a cell is left as it is (abstained).")
]
Columns = Annotated[
    list[str] | None,
    typer.Option("--columns", metavar="NAME[,NAME…]", help="Judge only these columns; the others are evidence."),
]
ReportPath = Annotated[
    Path | None, typer.Option("--report", metavar="PATH", help="Also write a report: .html or .json.")
]
PatchesPath = Annotated[
    Path | None, typer.Option("--patches", metavar="PATH", help="Where the patch log goes. Default: OUT.patches.jsonl.")
]
EncodingName = Annotated[str | None, typer.Option("--encoding", help="Instead of the detected encoding.")]
Delimiter = Annotated[str | None, typer.Option("--delimiter", help="Instead of the detected one: a character, or tab.")]
ModelFolder = Annotated[
    Path | None, typer.Option("--model", metavar="DIR", help="A checkpoint folder instead of the one in the box.")
]
PartRows = Annotated[
    int, typer.Option("--part-rows", min=1, help="Rows judged together; a longer table is judged in parts.")
]
Adapt = Annotated[
    bool,
    typer.Option("--adapt", help="First train a copy of the model on this table (each part): minutes; then forget it."),
]
Practice = Annotated[
    bool,
    typer.Option("--practice/--no-practice", help="Fill known cells of the columns too, to see what is right there."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")]


@dataclass(frozen=True, slots=True)
class Places:
    """Where a run writes.

    Attributes:
        output: None writes no copy, `-` writes it to stdout.
        patches: None keeps no log.
        labels: None writes no rows to label.
    """

    output: str | None
    patches: Path | None
    report: Path | None
    labels: Path | None = None

    def paths(self) -> list[Path]:
        """All files that will be written."""
        output = None if self.output in (None, STANDARD) else Path(str(self.output))
        return [path for path in (output, self.patches, self.report, self.labels) if path is not None]


DetectOnly = Annotated[
    bool, typer.Option("--detect-only", help="Flag wrong cells, repair none; a copy is written only with -o.")
]
MaxErrorRate = Annotated[
    float | None,
    typer.Option(min=0.0, max=1.0, help="Repair only while at most this share is expected to be wrong."),
]
ExamplesPath = Annotated[
    Path | None,
    typer.Option(
        "--examples", metavar="LABELS", help="Rows that were labelled; what they teach is applied to the others."
    ),
]
SuggestLabels = Annotated[
    int,
    typer.Option("--suggest-labels", metavar="N", min=0, help="Also write the N rows most worth a label (each part)."),
]
LabelsPath = Annotated[
    Path | None,
    typer.Option("--labels", metavar="PATH", help="Where rows to label go. Default: FILE.labels.csv."),
]


def clean(
    file: File,
    output: Output = None,
    detect_only: DetectOnly = False,
    min_confidence: MinConfidence = 0.5,
    max_error_rate: MaxErrorRate = None,
    columns: Columns = None,
    examples: ExamplesPath = None,
    suggest_labels: SuggestLabels = 0,
    labels: LabelsPath = None,
    adapt: Adapt = False,
    report: ReportPath = None,
    patches: PatchesPath = None,
    encoding: EncodingName = None,
    delimiter: Delimiter = None,
    model: ModelFolder = None,
    part_rows: PartRows = ROWS_PER_CHUNK,
    quiet: Quiet = False,
) -> None:
    """Find wrong cells of a table and repair them; every other byte stays.

    The copy has the input's own format, encoding and quoting. The patch log beside it has a line for each flagged
    cell; `rpt patch revert` undoes it. The input is never written. With --suggest-labels, a CSV of the rows that are
    most worth a label is written too: correct its values and give it back with --examples.
    """
    shown: dict[str, object] = {"min confidence": min_confidence}
    shown |= {"detect only": "yes"} if detect_only else {}
    shown |= {"max error rate": max_error_rate} if max_error_rate is not None else {}
    shown |= {"adapt": "yes"} if adapt else {}
    shown |= {"examples": str(examples)} if examples is not None else {}

    with (
        failing_plainly(*PROBLEMS),
        opened(file, encoding, delimiter) as table,
    ):
        known = read_labels(examples, table, suggest_labels)

        def judge(judges: Judges, chosen: frozenset[int] | None) -> Judge:
            return judges.cleaning(
                JudgingOptions(chosen, min_confidence, max_error_rate, detect_only, adapt, labels=known)
            )

        if labels is not None and not suggest_labels:
            raise typer.BadParameter("--labels is for the rows of --suggest-labels: say how many")
        if suggest_labels and labels is None:
            labels = Path("labels.csv") if file == STANDARD else copy_name(table, "labels").with_suffix(".csv")
        places = settle_places(
            table, file, output, patches, report, "cleaned", copy=not detect_only, examples=examples, labels=labels
        )
        run_file(table, places, judge, columns, shown, model, part_rows, quiet, known)


def complete(
    file: File,
    output: Output = None,
    min_confidence: MinConfidence = 0.5,
    columns: Columns = None,
    practice: Practice = True,
    adapt: Adapt = False,
    report: ReportPath = None,
    patches: PatchesPath = None,
    encoding: EncodingName = None,
    delimiter: Delimiter = None,
    model: ModelFolder = None,
    part_rows: PartRows = ROWS_PER_CHUNK,
    quiet: Quiet = False,
) -> None:
    """Fill the missing cells of a table; every other byte stays. Default output: FILE.completed.csv."""
    shown: dict[str, object] = {"min confidence": min_confidence}
    shown |= {} if practice else {"practice": "no"}
    shown |= {"adapt": "yes"} if adapt else {}

    def judge(judges: Judges, chosen: frozenset[int] | None) -> Judge:
        return judges.completion(JudgingOptions(chosen, min_confidence, adapt=adapt, practice=practice))

    with (
        failing_plainly(*PROBLEMS),
        opened(file, encoding, delimiter) as table,
    ):
        places = settle_places(table, file, output, patches, report, "completed", copy=True)
        run_file(table, places, judge, columns, shown, model, part_rows, quiet)


@contextlib.contextmanager
def opened(file: str, encoding: str | None, delimiter: str | None) -> Iterator[TableFile]:
    """The input as an open table; stdin is kept in a temporary file, because it is read twice."""
    with contextlib.ExitStack() as stack:
        path = Path(file)
        if file == STANDARD:
            path = Path(stack.enter_context(tempfile.TemporaryDirectory()), "stdin")
            with path.open("wb") as kept:
                shutil.copyfileobj(sys.stdin.buffer, kept)
        table = stack.enter_context(open_table(path, encoding=encoding, delimiter=delimiter))
        if not table.columns:
            raise CommandError(f"{file}: the file is empty: a table needs a header row")
        yield table


def settle_places(
    table: TableFile,
    file: str,
    output: str | None,
    patches: Path | None,
    report: Path | None,
    word: str,
    *,
    copy: bool,
    examples: Path | None = None,
    labels: Path | None = None,
) -> Places:
    """Settle where everything goes, and refuse what would overwrite the input or another output."""
    from_stdin = file == STANDARD
    default = copy_name(table, word)
    if output is None and copy:
        output = STANDARD if from_stdin else str(default)
    if patches is None and not (from_stdin and output in (None, STANDARD)):
        named = default if output in (None, STANDARD) else Path(str(output))
        patches = named.with_name(named.name + ".patches.jsonl")
    places = Places(output, patches, report, labels)
    paths = places.paths()
    for index, path in enumerate(paths):
        if same_file(path, table.path):
            raise typer.BadParameter(f"{path} is the input, which is never overwritten")
        if examples is not None and same_file(path, examples):
            raise typer.BadParameter(f"{path} holds the examples, which are never overwritten; say another --labels")
        if any(same_file(path, other) for other in paths[:index]):
            raise typer.BadParameter(f"{path} is named twice")
        if path.parent != Path() and not path.parent.is_dir():
            raise typer.BadParameter(f"there is no folder {path.parent}")
    if report is not None and report.suffix.lower() not in (".html", ".htm", ".json"):
        raise typer.BadParameter(f"a report is .html or .json, not {report.suffix or 'a file without suffix'}")
    _check_format(table, output)
    return places


def _check_format(table: TableFile, output: str | None) -> None:
    """The copy has the input's format; refuse a name that promises another."""
    if output in (None, STANDARD):
        return
    written = FileFormat.CSV if table.format is FileFormat.XLSX else table.format
    promised = suffix_format(Path(str(output)))
    if promised is not None and promised is not written:
        reason = "XLSX can be read but not written" if promised is FileFormat.XLSX else "the copy keeps the format"
        raise typer.BadParameter(f"{reason}: {output} would hold {written.value}; name it {table.output_suffix}")


def _choose(table: TableFile, columns: Sequence[str] | None) -> frozenset[int] | None:
    """The indices of the columns to judge; None judges all."""
    names = unique_names(table.columns)
    every = frozenset(range(len(names))) - frozenset(table.skipped)
    if not columns:
        return every if table.skipped else None
    chosen: set[int] = set()
    for name in _split(columns, names):
        if name not in names:
            raise typer.BadParameter(f"no column {name!r}; there are: {', '.join(names[:30])}")
        index = names.index(name)
        if index in table.skipped:
            raise typer.BadParameter(f"column {name!r} cannot be judged: {table.skipped[index]}")
        chosen.add(index)
    return frozenset(chosen)


def _split(columns: Sequence[str], names: Sequence[str]) -> Iterator[str]:
    """Comma-separated names, except where a column's own name has the comma."""
    for column in columns:
        yield from [column] if column in names else [part.strip() for part in column.split(",") if part.strip()]


def run_file(
    table: TableFile,
    places: Places,
    make_judge: Callable[[Judges, frozenset[int] | None], Judge],
    columns: Sequence[str] | None,
    shown: dict[str, object],
    model: Path | None,
    part_rows: int,
    quiet: bool,
    labels: Labels | None = None,
) -> None:
    labels = labels or Labels()

    def begin_part(chunk: RowChunk) -> None:
        bars.next_part(chunk.fraction)
        labels.begin_part(chunk)

    chosen = _choose(table, columns)
    if columns:
        shown = {**shown, "columns": ", ".join(columns)}
    with loaded(model, quiet) as judges, ProgressBars(enabled=not quiet) as bars:
        judge = make_judge(judges, chosen)
        with _targets(places) as (sink, log, log_path):
            summary = run_table(
                table,
                judge,
                sink,
                log,
                rows_per_part=part_rows,
                progress=bars,
                on_part=begin_part,
            )
            log.flush()
            if places.labels is not None:
                with written_whole(places.labels) as written:
                    labels.write(table.columns, written)
            if "adapt" in shown:
                summary.adaptation = judges.adaptation
            source = "stdin" if table.path.name == "stdin" else table.path.name
            told = RunReport(source, summary, table.details, shown, judges.model, log_path)
            if places.report is not None:
                with written_whole(places.report) as file:
                    write_report(told, file, places.report.suffix)
    if not quiet:
        _show(summary, places, table.details)
        if labels.unused:
            say(f"Labels of rows that the table does not have, or that are damaged: {labels.unused}")


@contextlib.contextmanager
def loaded(model: Path | None, quiet: bool) -> Iterator[Judges]:
    target = console()
    waiting = target.status("Loading the model …") if target.is_terminal and not quiet else contextlib.nullcontext()
    with contextlib.ExitStack() as stack:
        with waiting:
            judges = stack.enter_context(load_judges(model))
        yield judges


class _Discarded:
    """A place for a copy that nobody asked for."""

    def write(self, data: bytes) -> int:
        return len(data)


@contextlib.contextmanager
def _targets(places: Places) -> Iterator[tuple[BinaryIO, BinaryIO, Path]]:
    """Open the copy and the log; both appear at their names only when the run ends well."""
    with contextlib.ExitStack() as stack:
        if places.patches is not None:
            log = stack.enter_context(written_whole(places.patches))
        else:
            log = stack.enter_context(tempfile.NamedTemporaryFile())  # type: ignore[assignment]
        if places.output is None:
            sink: BinaryIO = _Discarded()  # type: ignore[assignment]
        elif places.output == STANDARD:
            sink = sys.stdout.buffer
        else:
            sink = stack.enter_context(written_whole(Path(places.output)))
        yield sink, log, Path(log.name)
        if places.output == STANDARD:
            sink.flush()


def _show(summary: RunSummary, places: Places, details: Mapping[str, str]) -> None:
    """The table at the end: what was flagged, by column, and where everything is."""
    target = console()
    target.print(", ".join(f"{name}: {value}" for name, value in details.items()), markup=False)
    table = Table("Column")
    for heading in ("Flagged", "Changed", "Abstained", "Errors"):
        table.add_column(heading, justify="right")
    for name, counts in sorted(summary.by_column.items(), key=lambda item: (-item[1].flagged, item[0])):
        table.add_row(Text(name), *_numbers(counts))
    table.add_section()
    table.add_row("All", *_numbers(summary.total))
    if summary.total.flagged:
        target.print(table)
    else:
        target.print("No cell was flagged.")
    rate = summary.rows / summary.seconds if summary.seconds else 0.0
    target.print(f"{summary.rows:,} rows in {summary.seconds:.1f} s ({rate:,.1f} rows/s)", markup=False)
    if summary.adaptation is not None:
        target.print(_adapted(summary, summary.adaptation), markup=False)
    if summary.approximate:
        note = f"judged in {summary.parts} parts, each with evidence from its own rows only (--part-rows)"
        target.print(f"Approximate: {note}", markup=False, style="yellow")
    for issue in summary.issues[:5]:
        place = f"line {issue.line}, row {issue.row}" if issue.line is not None else f"row {issue.row}"
        target.print(f"Left alone: {place}: {issue.message}", markup=False, style="yellow")
    if summary.damaged_rows > 5:
        target.print(f"Left alone: {summary.damaged_rows} damaged rows in all", markup=False, style="yellow")
    _show_places(places)


def _adapted(summary: RunSummary, counts: AdaptationCounts) -> str:
    """What adapting took, and where it was not done."""
    if not counts.parts:
        return "Not adapted: there was nothing to fill, or too few rows to learn from (8 are needed)"
    took = f"{counts.steps:,} steps over {counts.encoder_tokens:,} tokens in {counts.seconds:.1f} s"
    return f"Adapted: {took}" + (f", on {counts.parts} of {summary.parts} parts" if summary.parts > 1 else "")


def _numbers(counts: ColumnCounts) -> list[str]:
    return [f"{count:,}" for count in (counts.flagged, counts.repaired, counts.abstained, counts.errors)]


def _show_places(places: Places) -> None:
    if places.output is not None:
        say(f"Output:    {'stdout' if places.output == STANDARD else places.output}")
    if places.patches is not None:
        say(f"Patch log: {places.patches}")
    if places.report is not None:
        say(f"Report:    {places.report}")
    if places.labels is not None:
        say(f"To label:  {places.labels}")
