"""What the terminal says when the suite is ready."""

import sys
from pathlib import Path

from cli.doors import Doors
from services.shared.settings import Settings

READY = """
leadscore is ready.

  dashboard     {rest}/
  REST          {rest}/v1/...   documentation at {rest}/docs
  gRPC          ingest {doors.ingest} · scorer {doors.scorer} · query {doors.query}
  command line  {program} load FILE | top | watch | explain LEAD | doctor
  data, logs    {folder}

The first event, and the leaderboard:

curl -X POST {rest}/v1/events \\
{key}  -H 'content-type: application/json' \\
  -d '{{"leadId": "ada@example.org", "type": "demo_request"}}'
curl {key_inline}'{rest}/v1/leaderboard?pageSize=10'
"""
KEY_HEADER = '-H "authorization: Bearer $LEADSCORE_ADMIN_KEY"'


def welcome(settings: Settings, doors: Doors, made_key: str | None) -> str:
    """Where everything is, a first call to paste, and the key if it was made just now."""
    lines = READY.format(
        rest=f"http://{doors.gateway}",
        doors=doors,
        program=_program(),
        folder=settings.data_dir,
        key="" if settings.anonymous else f"  {KEY_HEADER} \\\n",
        key_inline="" if settings.anonymous else f"{KEY_HEADER} ",
    )
    if made_key:
        who = "callers on this machine need none" if settings.anonymous else "set it as LEADSCORE_ADMIN_KEY"
        lines += f"\nThe bootstrap key, shown this once ({who}):\n  {made_key}\n"
    return f"{lines}\nCtrl-C stops everything."


def _program() -> str:
    """How this program was called, as short as it can be."""
    program = Path(sys.argv[0])
    return str(program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program)
