"""`leadscore doctor`: what is wrong with a running suite, and what to do."""

import json
from dataclasses import asdict

import click
from rich.markup import escape
from rich.table import Table

from cli.client import find_suite
from cli.examination import Finding, examine
from cli.options import json_option, tenant_option
from cli.screen import screen


@click.command("doctor")
@tenant_option
@json_option
def command(tenant: str | None, as_json: bool) -> None:
    """Checks a running suite: doors, health, key, lag, dead letters, settings. Exit code 1 if something is wrong."""
    findings = examine(find_suite(tenant))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        screen().print(_table(findings))
    if not all(finding.is_well for finding in findings):
        raise SystemExit(1)


def _table(findings: list[Finding]) -> Table:
    table = Table(header_style="bold")
    for name in ("What", "", "Says"):
        table.add_column(name, overflow="fold")
    for finding in findings:
        mark = "[green]well[/]" if finding.is_well else "[red]WRONG[/]"
        table.add_row(escape(finding.what), mark, escape(finding.says))
    return table
