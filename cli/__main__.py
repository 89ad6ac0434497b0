"""`leadscore`: the commands. Each is imported when it is used, so that the others start at once."""

import importlib
from typing import Any

import click

from services.shared.errors import LeadscoreError

COMMANDS = {
    "up": ("cli.up.command", "Starts the whole suite on this machine."),
    "load": ("cli.load", "Loads events from a CSV, JSON or NDJSON file."),
    "top": ("cli.top", "Shows the leaderboard."),
    "watch": ("cli.watch", "Shows score changes as they happen."),
    "explain": ("cli.explain", "Shows why a lead's score is what it is."),
    "quarantine": ("cli.quarantine", "Shows the events that were set apart."),
    "doctor": ("cli.doctor", "Checks a running suite and says what is wrong."),
}


class Commands(click.Group):
    """Finds commands by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name."""
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        command: click.Command = importlib.import_module(module).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, meaning) for name, (_, meaning) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command. What goes wrong for a known reason is one sentence and exit code 1."""
        try:
            return super().invoke(ctx)
        except LeadscoreError as error:
            raise click.ClickException(str(error)) from None


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="leadscore")
def main() -> None:
    """Lead scores that can be trusted.

    The commands talk to the suite that `leadscore up` has started in the data folder (LEADSCORE_DATA_DIR, default
    ./data), or to the one that LEADSCORE_INGEST_ADDRESS, LEADSCORE_SCORER_ADDRESS and LEADSCORE_QUERY_ADDRESS name,
    with the key in LEADSCORE_API_KEY.
    """


if __name__ == "__main__":
    main()
