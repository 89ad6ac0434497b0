"""How many leads have which scores and grades: now, and at the end of each day of a period.

The days are worked out from now backwards, by taking back what came after them: so a week costs a week's changes,
however long there have been leads.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar

from leadscore.query.v1 import analytics_pb2 as contract
from sqlalchemy import (
    ColumnElement,
    DateTime,
    Integer,
    Select,
    Text,
    bindparam,
    cast,
    func,
    null,
    select,
)
from sqlalchemy.ext.asyncio import AsyncEngine

from services.query.analytics.periods import SYSTEM_CLOCK, Period, period_of, start_of
from services.query.analytics.sums import (
    COUNT,
    END,
    OF_TENANT,
    SCORE_STEP,
    START,
    TOTAL,
    Kind,
    about,
    average,
    by_name,
    in_one,
    of_kind,
    whole,
)
from services.query.reading import read
from services.query.statements import Statement
from services.query.wire import set_times
from services.shared.clock import Clock
from services.shared.errors import FieldViolation, InvalidRequest
from services.shared.schema import ROLLUPS, SCORE_COUNTS

BUCKET_POINTS = 50
"""For a width of 0."""
STEPS_MAX = 100_000
"""In one answer, of all its days together."""
BUCKETS_KEPT_MAX = 20
"""Widths whose statement is kept: a dashboard has one or two."""

PARTS = "scores", "grades", "moved", "regraded"

Name = TypeVar("Name", int, str)
NO_DAY = cast(null(), DateTime(timezone=True))


Change = tuple[datetime, Name, int]
"""By how much the number of leads with a score or a grade has changed on a day."""


async def get_distribution(
    engine: AsyncEngine, tenant_id: str, request: contract.GetDistributionRequest, clock: Clock = SYSTEM_CLOCK
) -> contract.GetDistributionResponse:
    """The distributions. Raises InvalidRequest for a period or a width that cannot be, or is too much."""
    period = period_of(request, clock)
    bucket = request.bucket_points or BUCKET_POINTS
    if bucket % SCORE_STEP:
        raise InvalidRequest([FieldViolation("bucket_points", f"must be a multiple of {SCORE_STEP}")])
    rows = await read(engine, _statement(bucket), **about(tenant_id, period))
    parts: dict[str, list[Any]] = {name: [] for name in PARTS}
    for part, day, step, leads, points in rows:
        parts[part].append((day, step, leads, points))
    scores = {int(step): leads for _, step, leads, _ in parts["scores"]}
    grades = {step: leads for _, step, leads, _ in parts["grades"]}
    moved = [(day, int(step), leads) for day, step, leads, _ in parts["moved"]]
    regraded = [(day, step, leads) for day, step, leads, _ in parts["regraded"]]
    score_days, grade_days = ends_of_days(scores, moved, period), ends_of_days(grades, regraded, period)
    leads = sum(scores.values())
    answer = contract.GetDistributionResponse(leads=leads)
    answer.average_score = average(sum(points for *_, points in parts["scores"]), leads)
    _add(answer, sorted(scores.items()), sorted(grades.items()))
    for day, steps, shares in reversed(list(zip(reversed(period), score_days, grade_days, strict=True))):
        of_day = answer.days.add()
        set_times(of_day, day=start_of(day))
        _add(of_day, steps.items(), shares.items())
    return answer


@lru_cache(BUCKETS_KEPT_MAX)
def _statement(bucket: int) -> Statement:
    """Leads by score and by grade, as they are and how that has changed."""
    score = cast(ROLLUPS.c.name, Integer)
    moved = _changes(Kind.SCORES_BY_DAY, cast(score - score % bucket, Text))
    parts = _scores(bucket), _grades(), moved, _changes(Kind.GRADES_BY_DAY, ROLLUPS.c.name)
    return Statement(in_one(dict(zip(PARTS, parts, strict=True))))


def _scores(bucket: int) -> Select[Any]:
    """Leads by score now, with the sums of their scores."""
    score, leads = SCORE_COUNTS.c.score, func.sum(SCORE_COUNTS.c.leads)
    columns = _row(NO_DAY, cast(score - score % bucket, Text), leads, func.sum(SCORE_COUNTS.c.leads * score))
    return (
        select(*columns).where(SCORE_COUNTS.c.tenant_id == bindparam("tenant_id")).group_by("step").having(leads != 0)
    )


def _grades() -> Select[Any]:
    grades = by_name(Kind.GRADES).subquery()
    return select(*_row(NO_DAY, grades.c.name, grades.c.leads, grades.c.total))


def _changes(kind: Kind, name: ColumnElement[Any]) -> Select[Any]:
    """What changed after the first day; what came after the whole period is one day's."""
    columns = _row(func.least(ROLLUPS.c.at, END), name, COUNT, TOTAL)
    after = OF_TENANT, of_kind(kind), ROLLUPS.c.at > START
    return select(*columns).where(*after).group_by("day", "step").having(COUNT != 0)


def _row(day: Any, step: Any, leads: Any, points: Any) -> list[ColumnElement[Any]]:
    return [day.label("day"), step.label("step"), whole(leads).label("leads"), whole(points).label("points")]


def ends_of_days(now: Mapping[Name, int], changes: Iterable[Change[Name]], period: Period) -> list[dict[Name, int]]:
    """How many leads each step or grade had at the end of each day, the last day first.

    Raises InvalidRequest if that is too much for one answer.
    """
    standing: Counter[Name] = Counter(now)
    days: list[dict[Name, int]] = []
    size, left = 0, sorted(changes)
    for day in reversed(period):
        start = start_of(day)
        while left and left[-1][0] > start:
            _, step, leads = left.pop()
            standing[step] -= leads
        days.append({name: standing[name] for name in sorted(standing) if standing[name]})
        size += len(days[-1])
        if size > STEPS_MAX:
            description = f"give more than {STEPS_MAX} steps; take wider ones, or a shorter period"
            raise InvalidRequest([FieldViolation("bucket_points", description)])
    return days


def _add(
    distribution: contract.GetDistributionResponse | contract.DistributionOfDay,
    scores: Iterable[tuple[int, int]],
    grades: Iterable[tuple[str, int]],
) -> None:
    add_step, add_share = distribution.scores.add, distribution.grades.add
    for score, leads in scores:
        add_step(from_score=score, leads=leads)
    for grade, leads in grades:
        add_share(grade=grade, leads=leads)
