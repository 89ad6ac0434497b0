"""What an event counts for at an age. Whole numbers, so that sums are the same in any order and on every machine."""

from services.scorer.scoring.model import Decay, Weight

FULL = 1 << 30
"""The weight of an event at full weight. One part in 2**30 is far below a thousandth of a point."""
HALVINGS_MAX = 31
"""After so many half-lives a weight rounds to nothing."""


def weight_at(weight: Weight, age_days: int) -> int:
    """The weight at an age in whole days, in parts of FULL. An age below 0 (an event of tomorrow) is 0."""
    if age_days <= 0:
        return FULL
    if age_days >= weightless_from(weight):
        return 0
    match weight.decay:
        case Decay.HALF_LIFE:
            return round(FULL * float(0.5 ** (age_days / weight.days)))
        case Decay.LINEAR:
            return (FULL * (weight.days - age_days) + weight.days // 2) // weight.days
        case Decay.FRAME:
            return FULL


def weightless_from(weight: Weight) -> int:
    """The age in days from which an event counts for nothing."""
    return weight.days * HALVINGS_MAX if weight.decay is Decay.HALF_LIFE else weight.days
