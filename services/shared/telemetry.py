"""What the processes say about themselves: log lines."""

import logging
import sys

FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def set_up_logging(level: str) -> None:
    """One line an event, on standard error."""
    logging.basicConfig(level=level.upper(), format=FORMAT, stream=sys.stderr, force=True)
    for chatty in ("httpx", "httpcore", "asyncio", "alembic", "fontTools"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
