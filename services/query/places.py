"""Places in the stream of announcements, which clients hold as resume tokens."""

from typing import Annotated, NamedTuple

import msgspec

from services.shared.tokens import decode_page, encode_page

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Place(NamedTuple):
    """The place of an update, also of one that is still to come: places compare as the updates come."""

    made_us: Count
    """When the stream was made: one that was made anew counts from 1 again, and means other updates."""
    sequence: Count
    """The announcement's sequence in the stream."""
    offset: Count = 0
    """Which of the announcement's updates, from 0."""

    @property
    def token(self) -> str:
        """The place as a resume token."""
        return encode_page(self)


def parse_token(token: str) -> Place | None:
    """The place that a resume token stands for; None for the empty one. Raises InvalidRequest for what is not one."""
    return decode_page(token, Place, "resume_token")
