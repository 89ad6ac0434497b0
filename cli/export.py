"""`leadscore export`: leads, events, ledgers or what was set apart as a file, or a report."""

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import click
from leadscore.query.v1 import export_pb2 as contract
from leadscore.query.v1 import query_service_pb2_grpc
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from cli.client import find_suite
from cli.options import Lead, Text, tenant_option

DEADLINE_S = 3_700.0
"""The service gives an export an hour."""
STANDARD_OUTPUT = "-"
KINDS = {
    "leads": contract.EXPORT_KIND_LEADS,
    "events": contract.EXPORT_KIND_EVENTS,
    "ledger": contract.EXPORT_KIND_LEDGER,
    "quarantine": contract.EXPORT_KIND_QUARANTINE,
    "report": contract.EXPORT_KIND_REPORT,
}
FORMATS = {
    "csv": contract.EXPORT_FORMAT_CSV,
    "ndjson": contract.EXPORT_FORMAT_NDJSON,
    "parquet": contract.EXPORT_FORMAT_PARQUET,
    "pdf": contract.EXPORT_FORMAT_PDF,
}


@click.command("export")
@click.argument("kind", type=click.Choice(list(KINDS)))
@click.option(
    "--format",
    "format_",
    type=click.Choice(list(FORMATS)),
    help="Default: what the file's name ends in, else csv (pdf for the report).",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="The file; `-` is standard output. Default: KIND.FORMAT in this folder.",
)
@click.option(
    "--filter", "filter_", type=Text(), default="", help="Only such leads: 'score >= 50 AND status = \"new\"'."
)
@click.option("--lead", type=Lead(), default="", help="Only this lead; for events and ledger.")
@tenant_option
def command(kind: str, format_: str | None, output: Path | None, filter_: str, lead: str, tenant: str | None) -> None:
    """Writes leads, events, the ledger, the quarantine or a report to a file.

    It shows everything as it was at its start. The file has its name only when it is whole.
    """
    format_ = format_ or _format_of(kind, output)
    output = output or Path(f"{kind}.{format_}")
    suite, console = find_suite(tenant), Console(stderr=True)
    request = contract.ExportRequest(kind=KINDS[kind], format=FORMATS[format_], filter=filter_, lead_id=lead)
    with suite.call("query") as channel, opened(output) as file:
        stub = query_service_pb2_grpc.QueryServiceStub(channel)
        rows, size = _write(stub.Export(request, timeout=DEADLINE_S, metadata=suite.metadata), file, console)
    console.print(f"{output}: {rows:,} rows, {size:,} bytes", markup=False, highlight=False, soft_wrap=True)


def _format_of(kind: str, output: Path | None) -> str:
    ending = output.suffix.removeprefix(".").lower() if output is not None else ""
    return ending if ending in FORMATS else "pdf" if kind == "report" else "csv"


def _write(pieces: Any, file: BinaryIO, console: Console) -> tuple[int, int]:
    """Writes the pieces as they come; the numbers of rows and bytes."""
    rows = size = 0
    count = TextColumn("{task.completed:,.0f} rows, {task.fields[megabytes]:,.1f} MB")
    with Progress(
        BarColumn(), count, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("export", total=None, megabytes=0.0)
        for piece in pieces:
            file.write(piece.data)
            rows, size = piece.rows, size + len(piece.data)
            bar.update(task, completed=rows, total=piece.rows_total or None, megabytes=size / 1e6)
    return rows, size


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file that gets its name when it is whole; where something goes wrong, what had that name before still has it.
    What is no regular file, such as a pipe, is written to as it is.
    """
    try:
        if str(path) == STANDARD_OUTPUT:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        elif path.exists() and not path.is_file():
            with path.open("wb") as file:
                yield file
        else:
            # Not the link, but what it leads to.
            with _renamed(path.resolve()) as file:
                yield file
    except BrokenPipeError:
        # Whoever read standard output has had enough; click ends the command without a word.
        raise
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}") from None


@contextmanager
def _renamed(path: Path) -> Iterator[BinaryIO]:
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
