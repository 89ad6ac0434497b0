"""How many leads have which scores and grades: now, and at the end of each day of a period.

The days are worked out from now backwards, by taking back what came after them: so a week costs a week's changes,
however long there have been leads.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from leadscore.query.v1 import analytics_pb2 as contract
from sqlalchemy import ColumnElement, Integer, Row, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.query.analytics.periods import SYSTEM_CLOCK, Period, period_of, start_of
from services.query.analytics.sums import COUNT, SCORE_STEP, Kind, average, by_name, whole
from services.query.reading import snapshot
from services.query.wire import to_timestamp
from services.shared.clock import Clock
from services.shared.errors import FieldViolation, InvalidRequest
from services.shared.schema import ROLLUPS, SCORE_COUNTS

BUCKET_POINTS = 50
"""For a width of 0."""
STEPS_MAX = 100_000
"""In one answer, of all its days together."""

Name = TypeVar("Name", int, str)


async def get_distribution(
    engine: AsyncEngine, tenant_id: str, request: contract.GetDistributionRequest, clock: Clock = SYSTEM_CLOCK
) -> contract.GetDistributionResponse:
    """The distributions. Raises InvalidRequest for a period or a width that cannot be, or is too much."""
    period = period_of(request, clock)
    bucket = request.bucket_points or BUCKET_POINTS
    if bucket % SCORE_STEP:
        raise InvalidRequest([FieldViolation("bucket_points", f"must be a multiple of {SCORE_STEP}")])
    async with snapshot(engine) as connection:
        scores = await _scores(connection, tenant_id, bucket)
        grades = (await connection.execute(by_name(tenant_id, Kind.GRADES))).all()
        score = cast(ROLLUPS.c.name, Integer)
        moved = await _changes(connection, tenant_id, Kind.SCORES_BY_DAY, period, score - score % bucket)
        regraded = await _changes(connection, tenant_id, Kind.GRADES_BY_DAY, period, ROLLUPS.c.name)
    score_days = ends_of_days({row.step: row.leads for row in scores}, moved, period)
    grade_days = ends_of_days({row.name: row.leads for row in grades}, regraded, period)
    leads = sum(row.leads for row in scores)
    return contract.GetDistributionResponse(
        scores=_steps({row.step: row.leads for row in scores}),
        grades=_shares({row.name: row.leads for row in grades}),
        days=_days(period, score_days, grade_days),
        leads=leads,
        average_score=average(sum(row.points for row in scores), leads),
    )


async def _scores(connection: AsyncConnection, tenant_id: str, bucket: int) -> Sequence[Row[Any]]:
    """Leads by score now, with the sums of their scores."""
    score, leads = SCORE_COUNTS.c.score, func.sum(SCORE_COUNTS.c.leads)
    points = func.sum(SCORE_COUNTS.c.leads * score)
    query = select((score - score % bucket).label("step"), whole(leads).label("leads"), whole(points).label("points"))
    query = query.where(SCORE_COUNTS.c.tenant_id == tenant_id).group_by("step").having(leads != 0)
    return (await connection.execute(query)).all()


async def _changes(
    connection: AsyncConnection, tenant_id: str, kind: Kind, period: Period, name: ColumnElement[Any]
) -> list[Row[Any]]:
    """What changed after the first day, the latest first; what came after the whole period is one day's."""
    at = func.least(ROLLUPS.c.at, period.end).label("day")
    query = select(at, name.label("step"), whole(COUNT).label("leads")).where(
        ROLLUPS.c.tenant_id == tenant_id, ROLLUPS.c.kind == kind, ROLLUPS.c.at > period.start
    )
    query = query.group_by("day", "step").having(COUNT != 0).order_by(at.desc())
    return list((await connection.execute(query)).all())


def ends_of_days(now: Mapping[Name, int], changes: Sequence[Any], period: Period) -> list[dict[Name, int]]:
    """How many leads each step or grade had at the end of each day, the last day first. `changes` come latest first.

    Raises InvalidRequest if that is too much for one answer.
    """
    standing: Counter[Name] = Counter(now)
    days: list[dict[Name, int]] = []
    taken = size = 0
    for day in reversed(period):
        start = start_of(day)
        while taken < len(changes) and changes[taken].day > start:
            standing[changes[taken].step] -= changes[taken].leads
            taken += 1
        days.append({name: standing[name] for name in sorted(standing) if standing[name]})
        size += len(days[-1])
        if size > STEPS_MAX:
            description = f"give more than {STEPS_MAX} steps; take wider ones, or a shorter period"
            raise InvalidRequest([FieldViolation("bucket_points", description)])
    return days


def _days(
    period: Period, scores: Sequence[dict[int, int]], grades: Sequence[dict[str, int]]
) -> list[contract.DistributionOfDay]:
    days = zip(reversed(period), scores, grades, strict=True)
    return [
        contract.DistributionOfDay(day=to_timestamp(start_of(day)), scores=_steps(steps), grades=_shares(shares))
        for day, steps, shares in days
    ][::-1]


def _steps(leads: Mapping[int, int]) -> list[contract.ScoreStep]:
    return [contract.ScoreStep(from_score=score, leads=leads[score]) for score in sorted(leads)]


def _shares(leads: Mapping[str, int]) -> list[contract.GradeShare]:
    return [contract.GradeShare(grade=grade, leads=leads[grade]) for grade in sorted(leads)]
