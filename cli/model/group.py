"""`leadscore model`: its commands."""

import click

from cli.groups import Lazy

COMMANDS = {
    "list": ("cli.model.list", "Shows all versions."),
    "pull": ("cli.model.pull", "Writes a version to a file."),
    "push": ("cli.model.push", "Makes a draft of a file."),
    "diff": ("cli.model.diff", "Shows what differs between two versions or files."),
    "validate": ("cli.model.validate", "Checks a file and keeps nothing."),
    "test": ("cli.model.test", "Tries a rule of a file on an event, or a criterion on a profile."),
    "simulate": ("cli.model.simulate", "Tries a version on the whole history of all leads."),
    "publish": ("cli.model.publish", "Makes a version the one by which leads are scored."),
    "delete": ("cli.model.delete", "Throws a draft away."),
}


@click.command("model", cls=Lazy, table=COMMANDS)
def command() -> None:
    """Reads, checks, tries and publishes the rules of the scores. docs/models.md explains the files."""
