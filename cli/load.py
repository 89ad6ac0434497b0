"""`leadscore load`: events from a file, streamed in batches; may be run again at any time."""

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import grpc
from grpc import aio
from leadscore.ingest.v1 import ingest_service_pb2_grpc
from leadscore.query.v1 import query_service_pb2 as query
from leadscore.query.v1 import query_service_pb2_grpc
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from cli.client import CALL_DEADLINE_S, OPTIONS, Suite, find_suite
from cli.options import json_option, tenant_option
from cli.refused import Refused
from cli.source import Source, open_source
from intake.errors import ImportFailed, MappingRefused
from intake.importing import Progress as Progressed
from intake.importing import run_import
from intake.mapping import DELIMITERS, FORMATS, Mapping, build_mapping
from intake.outcome import ImportSummary

SCORED_DEADLINE_S = 600.0
"""How long the scorer may take for the rest after the last row was sent."""
LOOK_INTERVAL_S = 0.5
"""How often an import is looked at that is not done although all of it is scored."""
PASSING = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
AGAIN = "it can be run again at any time"


class Pairs(click.ParamType[dict[str, str]]):
    """`name=value`, several with commas between."""

    name = "name=value,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, str]:
        """The pairs as a dictionary."""
        pairs: dict[str, str] = {}
        for part in str(value).split(","):
            name, equals, column = (piece.strip() for piece in part.partition("="))
            if not name or not equals:
                self.fail(f"{value!r} is not like lead_id=user_id,occurred_at=ts", param, ctx)
            if name in pairs:
                self.fail(f"{name!r} stands twice in {value!r}", param, ctx)
            pairs[name] = column
        return pairs


def _merged(all_pairs: Iterable[dict[str, str]]) -> dict[str, str]:
    """The pairs of an option that was given several times."""
    merged: dict[str, str] = {}
    for pairs in all_pairs:
        if twice := merged.keys() & pairs.keys():
            raise click.BadParameter(f"{min(twice)!r} stands twice", param_hint="'--map'")
        merged |= pairs
    return merged


@dataclass(frozen=True)
class Outcome:
    """What became of a file's rows, as the suite counts them."""

    import_id: str
    rows_read: int
    accepted: int
    duplicates: int
    conflicts: int
    rejected: int
    seconds: float
    """From the first byte read to the last row sent."""


@click.command("load")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option(
    "--map", "columns", type=Pairs(), multiple=True, help="Columns of a foreign file: lead_id=user_id,...; repeatable."
)
@click.option("--type", "types", multiple=True, metavar="FOREIGN=OURS", help="A foreign event type; repeatable.")
@click.option("--timezone", default="UTC", help="Of times without an offset; default UTC.")
@click.option("--format", "format_", type=click.Choice(FORMATS), help="Default: recognised.")
@click.option("--delimiter", type=click.Choice(DELIMITERS), help="Of CSV; default: recognised.")
@click.option("--no-properties", is_flag=True, help="Do not keep further columns as properties.")
@click.option("--errors", type=click.Path(dir_okay=False, path_type=Path), help="Write refused rows to this CSV file.")
@tenant_option
@json_option
def command(
    file: Path,
    columns: tuple[dict[str, str], ...],
    types: tuple[str, ...],
    timezone: str,
    format_: str | None,
    delimiter: str | None,
    no_properties: bool,
    errors: Path | None,
    tenant: str | None,
    as_json: bool,
) -> None:
    """Loads events from FILE (CSV, JSON array or NDJSON, also gzipped; `-` is standard input).

    Can be run again at any time: what is known already counts once. Exit code 1 if rows were refused.
    """
    try:
        mapping = build_mapping(
            columns=_merged(columns),
            types=_types(types),
            timezone=timezone,
            properties="none" if no_properties else "rest",
            format=format_ or "",
            delimiter=delimiter or "",
        )
    except MappingRefused as error:
        raise click.ClickException(error.reason) from None
    suite, console = find_suite(tenant), Console(stderr=True)
    with ExitStack() as stack:
        source, refused = open_source(file, stack), Refused(errors, stack)
        try:
            outcome = asyncio.run(_load(suite, source, mapping, refused, console))
        except KeyboardInterrupt:
            raise click.ClickException(f"interrupted; what was sent is kept, and {AGAIN}") from None
    if as_json:
        click.echo(json.dumps(asdict(outcome)))
    else:
        _show(outcome, source.name, refused, console)
    if outcome.rejected:
        raise SystemExit(1)


def _types(pairs: tuple[str, ...]) -> dict[str, str]:
    types = {}
    for pair in pairs:
        foreign, equals, ours = pair.rpartition("=")
        if not foreign or not equals or not ours:
            raise click.BadParameter(f'{pair!r} is not like "Order Completed=purchase"', param_hint="--type")
        types[foreign] = ours
    return types


async def _load(suite: Suite, source: Source, mapping: Mapping, refused: Refused, console: Console) -> Outcome:
    """Sends the file and waits until all of it is scored."""
    began = time.monotonic()
    async with aio.insecure_channel(suite.address("ingest"), options=OPTIONS) as channel:
        with _progress(console) as bar:
            try:
                summary = await run_import(
                    ingest_service_pb2_grpc.IngestServiceStub(channel),
                    source.chunks(),
                    mapping=mapping,
                    file_name=source.name,
                    metadata=suite.metadata,
                    progress=_teller(bar, source.size_bytes),
                    rejected=refused.add,
                )
            except ImportFailed as failed:
                raise click.ClickException(_failure(failed, suite)) from None
    seconds = time.monotonic() - began
    try:
        found = await _scored(suite, summary, console)
    except aio.AioRpcError as error:
        raise click.ClickException(f"all rows are sent, but not counted: {suite.sentence(error, 'query')}") from None
    counts = (found.rows_read, found.accepted, found.duplicates, found.conflicts, found.rejected)
    return Outcome(found.import_id, *counts, seconds=round(seconds, 3))


def _progress(console: Console) -> Progress:
    rate = TextColumn("{task.fields[rows]:,} rows, {task.fields[rate]:,.0f}/s")
    columns = (BarColumn(), DownloadColumn(), rate, TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _teller(bar: Progress, size_bytes: int | None) -> Callable[[Progressed], None]:
    task = bar.add_task("load", total=size_bytes, rows=0, rate=0.0)

    def tell(at: Progressed) -> None:
        elapsed = bar.tasks[0].elapsed or 0
        rate = at.rows_read / elapsed if elapsed else 0.0
        bar.update(task, completed=at.bytes_read, rows=at.rows_read, rate=rate)

    return tell


def _failure(failed: ImportFailed, suite: Suite) -> str:
    cause = failed.__cause__
    reason = suite.sentence(cause, "ingest") if isinstance(cause, aio.AioRpcError) else failed.reason
    kept = failed.summary.accepted + failed.summary.duplicates
    return f"{reason} ({kept:,} rows before that are kept; {AGAIN})" if kept else reason


async def _scored(suite: Suite, summary: ImportSummary, console: Console) -> query.Import:
    """Waits until the scorer has got to the end of the import, and answers what it found."""
    deadline = time.monotonic() + SCORED_DEADLINE_S
    with console.status("scoring ..."):
        async with aio.insecure_channel(suite.address("query"), options=OPTIONS) as channel:
            stub = query_service_pb2_grpc.QueryServiceStub(channel)
            while True:
                try:
                    found = await _import(stub, suite, summary)
                    if found.state != query.IMPORT_STATE_RUNNING or time.monotonic() > deadline:
                        return found
                except aio.AioRpcError as error:
                    if error.code() not in PASSING or time.monotonic() > deadline:
                        raise
                await asyncio.sleep(LOOK_INTERVAL_S)


async def _import(stub: Any, suite: Suite, summary: ImportSummary) -> query.Import:
    request = query.GetImportRequest(import_id=summary.import_id, consistency_token=summary.consistency_token)
    call = stub.GetImport(request, timeout=CALL_DEADLINE_S, metadata=suite.metadata, wait_for_ready=True)
    found: query.Import = await call
    return found


def _show(outcome: Outcome, name: str, refused: Refused, console: Console) -> None:
    rate = outcome.rows_read / outcome.seconds if outcome.seconds else 0.0
    console.print(f"{name}: sent in {outcome.seconds:.1f} s, {rate:,.0f} rows/s", markup=False, highlight=False)
    table = Table(show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for field in ("rows_read", "accepted", "duplicates", "conflicts", "rejected"):
        table.add_row(field.replace("_", " "), f"{getattr(outcome, field):,}")
    console.print(table)
    if outcome.conflicts:
        console.print("Conflicts are ids with two contents: the first stands, `leadscore quarantine` shows the others.")
    for row in sorted(refused.first):
        field = f"{row.field}: " if row.field else ""
        console.print(f"  row {row.row}: {escape(field + row.description)}", highlight=False, soft_wrap=True)
    if outcome.rejected > refused.count_shown:
        more = outcome.rejected - refused.count_shown
        console.print(f"  ... and {more:,} more rows; {refused.where_all_are}")
