"""`leadscore`: the commands. Each is imported when it is used, so that the others start at once."""

from typing import Any

import click

from cli.groups import Lazy
from services.shared.errors import LeadscoreError

COMMANDS = {
    "up": ("cli.up.command", "Starts the whole suite on this machine."),
    "load": ("cli.load", "Loads events from a CSV, JSON or NDJSON file."),
    "export": ("cli.export", "Writes leads, events, the ledger, the quarantine or a report to a file."),
    "top": ("cli.top", "Shows the leaderboard."),
    "watch": ("cli.watch", "Shows score changes as they happen."),
    "explain": ("cli.explain", "Shows why a lead's score is what it is, or was."),
    "forecast": ("cli.forecast", "Shows what becomes of a lead's score if nothing happens."),
    "override": ("cli.override", "Sets a lead's score by hand, or takes that back."),
    "status": ("cli.status", "Says where a lead stands in the pipeline."),
    "assign": ("cli.assign", "Says who takes care of a lead."),
    "note": ("cli.note", "Adds a note to a lead."),
    "erase": ("cli.erase", "Erases a lead with its whole history."),
    "model": ("cli.model.group", "Reads, checks, tries and publishes the rules of the scores."),
    "rescore": ("cli.rescore", "Scores all leads anew from their whole history."),
    "operations": ("cli.operations", "Shows rescores, and stops them."),
    "quarantine": ("cli.quarantine", "Shows the events that were set apart, and decides about them."),
    "analytics": ("cli.analytics", "Shows figures about all leads."),
    "audit": ("cli.audit", "Shows who changed what."),
    "doctor": ("cli.doctor", "Checks a running suite and says what is wrong."),
}


class Commands(Lazy):
    """The commands by name."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command. What goes wrong for a known reason is one sentence and exit code 1."""
        try:
            return super().invoke(ctx)
        except LeadscoreError as error:
            raise click.ClickException(str(error)) from None


@click.command(cls=Commands, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="leadscore")
def main() -> None:
    """Lead scores that can be trusted.

    The commands talk to the suite that `leadscore up` has started in the data folder (LEADSCORE_DATA_DIR, default
    ./data), or to the one that LEADSCORE_INGEST_ADDRESS, LEADSCORE_SCORER_ADDRESS and LEADSCORE_QUERY_ADDRESS name,
    with the key in LEADSCORE_API_KEY.
    """


if __name__ == "__main__":
    main()
