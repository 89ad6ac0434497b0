"""Whether event ids are taken for new without a look."""

from services.shared.clock import US_PER_S, Clock

LOOK_FOR_S = 60.0
"""How long ids are looked up after one was not new: repeats seldom come alone, and each costs a fresh start."""


class Optimism:
    """Almost all ids are new: the stream recognises what is sent again soon. So it is not looked up whether they are;
    the key of `events` does not take an id twice, and then everything is taken up again, with a look.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._look_until_us = 0

    @property
    def justified(self) -> bool:
        """Whether ids may be taken for new."""
        return self._clock.now_us() >= self._look_until_us

    def disappoint(self) -> None:
        """Something that was taken for granted was not so."""
        self._look_until_us = self._clock.now_us() + int(LOOK_FOR_S * US_PER_S)
