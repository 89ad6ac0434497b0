"""Ids for rows that come without one: made from what the row says, so that a file can be read again without harm.

The same row gets the same id whenever and from whatever file it is read, and so counts once for ever. Rows of one file
that say exactly the same are different events (three page views on a day whose hours are not known): they are numbered
in the order in which they come. The numbering has a bound: of identical rows that many others stand between (from
RECENT_ROWS_MAX to twice as many, all without an id), the later ones begin again at 1 and so count as repeats.
"""

import json
from hashlib import blake2b
from typing import Any

DIGEST_BYTES = 16
"""128 bits: no two contents will ever have the same."""
RECENT_ROWS_MAX = 100_000
"""Rows whose contents are remembered for numbering; at most twice as many are, in some 30 MB."""


class RowIds:
    """Makes ids for the rows of one file, in its order."""

    def __init__(self) -> None:
        self._recent: dict[bytes, int] = {}
        self._older: dict[bytes, int] = {}

    def make(self, *content: Any) -> str:
        """The id of a row that says `content`: values as JSON has them, always in the same order."""
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        digest = blake2b(text.encode(), digest_size=DIGEST_BYTES).digest()
        repeat = self._count(digest)
        return f"row-{digest.hex()}-{repeat}" if repeat > 1 else f"row-{digest.hex()}"

    def _count(self, digest: bytes) -> int:
        count = 1 + (self._recent.get(digest) or self._older.get(digest, 0))
        self._recent[digest] = count
        if len(self._recent) >= RECENT_ROWS_MAX:
            self._older, self._recent = self._recent, {}
        return count
