"""`leadscore model pull`: a version as a file."""

from pathlib import Path

import click
from leadscore.model.v1 import model_pb2

from cli.client import find_suite
from cli.model.canonical import to_json, to_yaml
from cli.model.files import JSON
from cli.model.versions import PUBLISHED, read_version, state_of
from cli.options import tenant_option


@click.command("pull")
@click.argument("version", default=PUBLISHED, type=click.IntRange(0))
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
@click.option("--format", "format_", type=click.Choice(["yaml", "json"]), help="Default: by the file's name, or YAML.")
@tenant_option
def command(version: int, output: Path | None, format_: str | None, tenant: str | None) -> None:
    """Writes VERSION of the model as a file that `model push` reads. Default: the one that is published."""
    model = read_version(find_suite(tenant), version)
    is_json = format_ == "json" if format_ else output is not None and output.suffix.lower() == JSON
    text = to_json(model.definition) if is_json else to_yaml(model.definition, origin_of(model))
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}") from None
    click.echo(f"version {model.version} ({state_of(model)}) is in {output}", err=True)


def origin_of(model: model_pb2.Model) -> str:
    """Where a file came from, for its first line. A draft may be edited again, so its revision matters."""
    is_draft = model.state == model_pb2.MODEL_STATE_DRAFT
    state = f"{state_of(model)}, revision {model.revision}" if is_draft else state_of(model)
    comment = f": {model.comment}" if model.comment else ""
    return f"The scoring model of leadscore, version {model.version} ({state}){comment}"
