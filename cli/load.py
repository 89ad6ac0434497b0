"""`leadscore load`: events from a file, streamed in batches; may be run again at any time."""

import asyncio
import csv
import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

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

from cli.client import CALL_DEADLINE_S, Suite, find_suite, sentence_of, sentences
from cli.options import json_option, tenant_option
from intake.chunks import read_chunks
from intake.errors import ImportFailed, IntakeError
from intake.importing import ImportSummary, new_import_id, run_import
from intake.importing import Progress as Progressed
from intake.mapping import DELIMITERS, FORMATS, Mapping, build_mapping
from intake.rows import RejectedRow

REJECTIONS_SHOWN = 10
"""On the screen; --errors has all of them."""
SCORED_DEADLINE_S = 600.0
"""How long the scorer may take for the rest after the last row was sent."""


class Pairs(click.ParamType[dict[str, str]]):
    """`name=value`, several with commas between."""

    name = "name=value,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, str]:
        """The pairs as a dictionary."""
        if isinstance(value, dict):
            return value
        pairs = [part.partition("=") for part in str(value).split(",")]
        for name, equals, _ in pairs:
            if not name or not equals:
                self.fail(f"{value!r} is not like lead_id=user_id,occurred_at=ts", param, ctx)
        return {name.strip(): column.strip() for name, _, column in pairs}


@click.command("load")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--map", "columns", type=Pairs(), default={}, help="Columns of a foreign file: lead_id=user_id,...")
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
    columns: dict[str, str],
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
    suite = find_suite(tenant)
    try:
        mapping = build_mapping(
            columns=columns,
            types=_types(types),
            timezone=timezone,
            properties="none" if no_properties else "rest",
            format=format_ or "",
            delimiter=delimiter or "",
        )
    except IntakeError as error:
        raise click.ClickException(str(error)) from None
    console = Console(stderr=True)
    with ExitStack() as stack, sentences(suite):
        refused = _Refused(errors, stack)
        opened = sys.stdin.buffer if str(file) == "-" else stack.enter_context(file.open("rb"))
        size = None if str(file) == "-" else file.stat().st_size
        shown = asyncio.run(_load(suite, opened, file.name, size, mapping, refused, console))
    if as_json:
        click.echo(json.dumps(shown))
    else:
        _show(shown, refused, console)
    if shown["rejected"]:
        raise SystemExit(1)


def _types(pairs: tuple[str, ...]) -> dict[str, str]:
    types = {}
    for pair in pairs:
        foreign, equals, ours = pair.rpartition("=")
        if not foreign or not equals or not ours:
            raise click.BadParameter(f'{pair!r} is not like "Order Completed=purchase"', param_hint="--type")
        types[foreign] = ours
    return types


class _Refused:
    """The refused rows: the first few for the screen, all of them for a file."""

    def __init__(self, path: Path | None, stack: ExitStack) -> None:
        self.first: list[RejectedRow] = []
        self._writer = None
        if path is not None:
            try:
                opened = stack.enter_context(path.open("w", newline="", encoding="utf-8"))
            except OSError as error:
                raise click.ClickException(f"{path} cannot be written: {error.strerror}") from None
            self._writer = csv.writer(opened)
            self._writer.writerow(["row", "field", "description"])

    def add(self, row: RejectedRow) -> None:
        """Notes a refused row."""
        if len(self.first) < REJECTIONS_SHOWN:
            self.first.append(row)
        if self._writer is not None:
            self._writer.writerow([row.row, row.field, row.description])


async def _load(
    suite: Suite, opened: BinaryIO, name: str, size: int | None, mapping: Mapping, refused: _Refused, console: Console
) -> dict[str, Any]:
    """Sends the file and waits until all of it is scored. Answers the counts."""
    async with aio.insecure_channel(suite.address("ingest")) as channel:
        with _progress(console) as bar:
            tell = _teller(bar, size)
            try:
                summary = await run_import(
                    ingest_service_pb2_grpc.IngestServiceStub(channel),
                    read_chunks(opened),
                    mapping=mapping,
                    file_name=name[:200],
                    import_id=new_import_id(),
                    metadata=suite.metadata,
                    progress=tell,
                    rejected=refused.add,
                )
            except ImportFailed as failed:
                raise click.ClickException(_failure(failed, suite)) from None
    return await _scored(suite, summary, console)


def _progress(console: Console) -> Progress:
    rate = TextColumn("{task.fields[rows]:,} rows, {task.fields[rate]:,.0f}/s")
    return Progress(BarColumn(), DownloadColumn(), rate, TimeElapsedColumn(), console=console, transient=True)


def _teller(bar: Progress, size: int | None) -> Callable[[Progressed], None]:
    task = bar.add_task("load", total=size, rows=0, rate=0.0)

    def tell(at: Progressed) -> None:
        elapsed = bar.tasks[0].elapsed or 0
        rate = at.rows_read / elapsed if elapsed else 0.0
        bar.update(task, completed=at.bytes_read, rows=at.rows_read, rate=rate)

    return tell


async def _scored(suite: Suite, summary: ImportSummary, console: Console) -> dict[str, Any]:
    """Waits until the scorer has got to the end of the import, and answers what it found."""
    deadline = asyncio.get_running_loop().time() + SCORED_DEADLINE_S
    request = query.GetImportRequest(import_id=summary.import_id, consistency_token=summary.consistency_token)
    with console.status("scoring ..."):
        async with aio.insecure_channel(suite.address("query")) as channel:
            stub = query_service_pb2_grpc.QueryServiceStub(channel)
            while True:
                try:
                    call = stub.GetImport(
                        request, timeout=CALL_DEADLINE_S, metadata=suite.metadata, wait_for_ready=True
                    )
                    return _counts(await call)
                except aio.AioRpcError as error:
                    passing = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)
                    if error.code() not in passing or asyncio.get_running_loop().time() > deadline:
                        raise


def _counts(found: query.Import) -> dict[str, Any]:
    names = ("rows_read", "accepted", "duplicates", "conflicts", "rejected")
    return {"import_id": found.import_id, **{name: getattr(found, name) for name in names}}


def _failure(failed: ImportFailed, suite: Suite) -> str:
    if isinstance(failed.__cause__, aio.AioRpcError):
        return sentence_of(failed.__cause__, suite)
    kept = failed.summary.accepted + failed.summary.duplicates
    return f"{failed.reason}" + (f" ({kept} rows before that are kept; run it again at any time)" if kept else "")


def _show(shown: dict[str, Any], refused: _Refused, console: Console) -> None:
    table = Table(show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name in ("rows_read", "accepted", "duplicates", "conflicts", "rejected"):
        table.add_row(name.replace("_", " "), f"{shown[name]:,}")
    console.print(table)
    if shown["conflicts"]:
        console.print("Conflicts are ids with two contents: the first stands, `leadscore quarantine` shows the others.")
    for row in refused.first:
        field = f"{row.field}: " if row.field else ""
        console.print(f"  row {row.row}: {escape(field + row.description)}", highlight=False)
    if shown["rejected"] > len(refused.first):
        console.print(f"  ... and {shown['rejected'] - len(refused.first)} more; --errors FILE writes all of them")
