"""What becomes of a lead if nothing happens: its points lose weight, an override ends."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

from services.scorer.scoring.compiled import CompiledModel
from services.scorer.scoring.evaluation import changes_at_us
from services.scorer.scoring.fold import Change, Folding
from services.scorer.scoring.lead import Lead


@dataclass(frozen=True, slots=True)
class Step:
    """A change to come, and when."""

    at_us: int
    change: Change


def forecast(model: CompiledModel, lead: Lead, from_us: int, until_us: int) -> Iterator[Step]:
    """The changes that time alone will make of a lead after a time and until another. The lead stays as it is."""
    future, at_us = deepcopy(lead), max(from_us, lead.evaluated_us)
    Folding(model, future, at_us).pass_time()  # What was due before is not to come.
    while (next_us := changes_at_us(model, future, at_us)) is not None and next_us <= until_us:
        at_us = next_us
        if change := Folding(model, future, at_us).pass_time():
            yield Step(at_us, change)
