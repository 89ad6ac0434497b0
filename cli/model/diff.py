"""`leadscore model diff`: what differs between two models."""

import sys
from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path

import click

from cli.client import find_suite
from cli.model.canonical import to_yaml
from cli.model.files import read_file
from cli.model.versions import PUBLISHED, read_version, state_of
from cli.options import tenant_option
from services.shared.errors import LeadscoreError

COLOURS = {"+": "green", "-": "red", "@": "cyan"}


class Trouble(click.ClickException):
    """There is no answer. As with diff: 0 is the same, 1 is a difference."""

    exit_code = 2


@click.command("diff")
@click.argument("models", nargs=-1, required=True, metavar="[FILE|VERSION] FILE|VERSION")
@tenant_option
def command(models: tuple[str, ...], tenant: str | None) -> None:
    """Shows what differs between two models: files, or versions by number (0 is the published one).

    With one, the published version is held against it. Order and spelling of a file do not matter, only what it says.
    Exit code 0 if they are the same, 1 if they differ, 2 if that cannot be found out.
    """
    if len(models) > 2:
        raise click.UsageError(f"two models can be compared, not {len(models)}")
    before, after = models if len(models) > 1 else (str(PUBLISHED), models[0])
    try:
        lines = list(differences(_named_text(before, tenant), _named_text(after, tenant)))
    except (click.ClickException, LeadscoreError) as error:
        raise Trouble(str(error)) from None
    for line in lines:
        click.echo(click.style(line, fg=COLOURS.get(line[:1])) if sys.stdout.isatty() else line)
    if lines:
        raise SystemExit(1)


def differences(before: tuple[str, str], after: tuple[str, str]) -> Iterator[str]:
    """The lines of a unified diff between two texts with their names; none if they are the same."""
    (name, text), (name_after, text_after) = before, after
    yield from unified_diff(text.splitlines(), text_after.splitlines(), name, name_after, lineterm="")


def _named_text(model: str, tenant: str | None) -> tuple[str, str]:
    """What a model is called, and its text."""
    if model.isascii() and model.isdigit():
        version = read_version(find_suite(tenant), int(model))
        return f"version {version.version} ({state_of(version)})", to_yaml(version.definition)
    if not Path(model).is_file():
        raise click.ClickException(f"{model!r} is neither a file nor the number of a version")
    return model, to_yaml(read_file(Path(model)).definition)
