"""Leads that live from day to day on real servers, whose figures must always be those of the naive count."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import psycopg
from google.protobuf.timestamp_pb2 import Timestamp
from leadscore.event.v1 import event_pb2
from leadscore.ingest.v1 import ingest_service_pb2 as ingest
from leadscore.query.v1 import analytics_pb2 as analytics
from leadscore.scorer.v1 import scorer_service_pb2 as scorer

from services.shared.clock import to_datetime
from services.shared.tokens import decode_positions, encode_positions, merge_positions
from tests.naive_figures import STAGES, Naive, Photo, mean, scores_at_end
from tests.parts import MovedClock, Suite

DEADLINE_S = 20.0


class Days(MovedClock):
    """A clock that begins at noon, so that no test sees a midnight that it does not move to."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead_us = -self.now_us() % 86_400_000_000 + 43_200_000_000

    @property
    def today(self) -> date:
        return to_datetime(self.now_us()).date()


class Life:
    """A suite with leads, and how they were distributed at the end of each day so far."""

    def __init__(self, suite: Suite, clock: Days) -> None:
        self.suite = suite
        self.clock = clock
        self.positions: list[dict[int, int]] = []
        self.photos: dict[date, Photo] = {}
        self.erased: list[tuple[date, list[Any]]] = []
        self._scorers = 0

    async def send(self, *events: event_pb2.Event) -> None:
        for start in range(0, len(events), 500):
            request = ingest.PublishEventsRequest(events=events[start : start + 500])
            answer = await self.suite.ingest.PublishEvents(request)
            assert answer.rejected == 0, answer
            self.said(answer.consistency_token)

    async def profile(self, lead: str, at: datetime | None = None, **values: Any) -> None:
        request = ingest.UpsertLeadRequest(lead_id=lead)
        request.profile.update(values)
        await self._say(self.suite.ingest.UpsertLead, request, at)

    async def status(self, lead: str, status: str, at: datetime | None = None) -> None:
        request = ingest.SetLeadStatusRequest(lead_id=lead, status=status)
        await self._say(self.suite.ingest.SetLeadStatus, request, at)

    async def erase(self, *leads: str) -> None:
        """Erases leads. What they were by their ledgers stays in the figures of the days that are over."""
        await self.check()
        ledger = Naive(self.suite.settings.database_url).ledger
        self.erased += [(self.clock.today, [row for row in ledger if row[0] in leads])]
        for lead in leads:
            self.said((await self.suite.ingest.DeleteLead(ingest.DeleteLeadRequest(lead_id=lead))).consistency_token)

    def said(self, token: str) -> None:
        """Something was said that the figures are to wait for."""
        self.positions.append(decode_positions(token))

    async def _say(self, call: Any, request: Any, at: datetime | None) -> None:
        if at is not None:
            request.occurred_at.FromDatetime(at)
        self.said((await call(request)).consistency_token)

    @property
    def token(self) -> str:
        return encode_positions(merge_positions(self.positions))

    async def next_day(self, days: int = 1) -> None:
        """Notes how the day ends, and waits until the next one has begun for every lead."""
        await self.check()
        self._let_another_scorer_have_kept_the_sums()
        self.clock.move(days)
        due = "SELECT count(*) FROM leads WHERE due_at <= %s"
        async with asyncio.timeout(DEADLINE_S):
            while True:
                with psycopg.connect(self.suite.settings.database_url) as connection:
                    if connection.execute(due, [to_datetime(self.clock.now_us())]).fetchone() == (0,):
                        return
                await asyncio.sleep(0.05)

    def _let_another_scorer_have_kept_the_sums(self) -> None:
        """What was summed up so far stays in rows that nobody adds to any more."""
        self._scorers += 1
        with psycopg.connect(self.suite.settings.database_url) as connection:
            for table in ("rollups", "score_counts"):
                moved = f"UPDATE {table} SET partition = %s WHERE partition < %s"
                connection.execute(moved, [1_000 + self._scorers, self.suite.settings.partitions])

    async def check(self) -> None:
        """Every figure is what it is when worked out from all that is stored."""
        await self.suite.query.GetSources(analytics.GetSourcesRequest(consistency_token=self.token))
        naive = Naive(self.suite.settings.database_url)
        self.photos[self.clock.today] = naive.photo()
        today = self.clock.today
        for first, last in ((today - timedelta(30), today), (date(2023, 1, 1), date(2024, 6, 30)), (today, today)):
            await assert_activity(self.suite, naive, first, last)
            await assert_moves(self.suite, naive, first, last)
            await self._assert_days(naive, first, last)
        await assert_shares(self.suite, naive, self.token)

    async def _assert_days(self, naive: Naive, first: date, last: date) -> None:
        request = analytics.GetDistributionRequest(bucket_points=20, **period(first, last))
        found = await self.suite.query.GetDistribution(request)
        now = naive.photo()
        assert {each.from_score: each.leads for each in found.scores} == now.steps(20)
        assert {each.grade: each.leads for each in found.grades} == now.grades
        assert (found.leads, found.average_score) == (len(naive.leads), mean(list(naive.leads.values())))
        days = [first + timedelta(number) for number in range((last - first).days + 1)]
        assert [each.day.ToDatetime().date() for each in found.days] == days
        for day, each in zip(days, found.days, strict=True):
            before = [self.photos[known] for known in sorted(self.photos) if known <= day]
            photo = before[-1] if before else Photo(Counter(), Counter())
            assert {step.from_score: step.leads for step in each.scores} == photo.steps(20), day
            assert {share.grade: share.leads for share in each.grades} == photo.grades, day
            gone = [row for erased, rows in self.erased if day < erased for row in rows]
            by_ledger = Photo(naive.scores_of(day) + scores_at_end(day, gone), Counter()).steps(20)
            assert {**by_ledger, 0: 0} == {**photo.steps(20), 0: 0}, "leads without any change have no ledger"


def moment(day: date) -> Timestamp:
    """Some time of a day: only the day matters."""
    found = Timestamp()
    found.FromDatetime(datetime.combine(day, time(17, 30), UTC))
    return found


def period(first: date, last: date) -> dict[str, Any]:
    return {"from": moment(first), "to": moment(last)}


async def assert_activity(suite: Suite, naive: Naive, first: date, last: date) -> None:
    steps: list[tuple[str, analytics.TimeStep.ValueType, list[str]]] = [("day", analytics.TIME_STEP_UNSPECIFIED, [])]
    if (last - first).days <= 30:
        steps.append(("hour", analytics.TIME_STEP_HOUR, ["Page View", "purchase"]))
    for width, step, types in steps:
        request = analytics.GetActivityRequest(step=step, types=types, **period(first, last))
        points = (await suite.query.GetActivity(request)).points
        found = {(each.at.ToDatetime(UTC), each.type): each.events for each in points}
        assert found == naive.activity(first, last, width, ["page_view", "purchase"] if types else [])
        assert list(found) == sorted(found)
    active = (await suite.query.GetActiveLeads(analytics.GetActiveLeadsRequest(**period(first, last)))).points
    assert [(each.at.ToDatetime(UTC), each.leads) for each in active] == sorted(naive.active(first, last).items())


async def assert_moves(suite: Suite, naive: Naive, first: date, last: date) -> None:
    found = await suite.query.GetFunnel(analytics.GetFunnelRequest(**period(first, last)))
    stages = naive.stages()
    assert [each.status for each in found.stages] == list(STAGES)
    for each in found.stages:
        here = stages[each.status]
        assert (each.leads, each.average_score) == (len(here.scores), mean(here.scores))
        assert each.reached == len(here.reached)
        before = {"qualified": "contacted", "won": "qualified"}.get(each.status, "new")
        of = stages[before].reached
        assert each.conversion == (len(of & here.reached) / len(of) if of else 0)
    moves = naive.moves(first, last)
    assert {(each.from_status, each.to_status): (each.moves, each.average_s) for each in found.moves} == {
        move: (len(seconds), mean(seconds)) for move, seconds in moves.items()
    }
    assert [each.moves for each in found.moves] == sorted(map(len, moves.values()), reverse=True)


async def assert_shares(suite: Suite, naive: Naive, token: str) -> None:
    sources = (await suite.query.GetSources(analytics.GetSourcesRequest())).sources
    assert {each.source: (each.events, each.leads, each.average_score) for each in sources} == {
        source: (events, len(scores), mean(scores)) for source, (events, scores) in naive.sources().items()
    }
    assert [each.leads for each in sources] == sorted((each.leads for each in sources), reverse=True)
    of = naive.companies()
    for order, first in (("TOTAL_SCORE", sum), ("LEADS", len)):
        by = analytics.CompanyOrder.Value(f"COMPANY_ORDER_{order}")
        request = analytics.GetCompaniesRequest(size=5, order=by, consistency_token=token)
        companies = (await suite.query.GetCompanies(request)).companies
        best = sorted(of, key=lambda name: (-first(of[name]), name.encode()))[:5]
        assert [(each.company, each.leads, each.total_score, each.average_score) for each in companies] == [
            (name, len(of[name]), sum(of[name]), mean(of[name])) for name in best
        ]
    lines: dict[str, list[float]] = {}
    for lead in naive.leads:
        why = await suite.scorer.ExplainScore(scorer.ExplainScoreRequest(lead_id=lead))
        for each in why.contributions:
            lines.setdefault(each.rule, []).append(each.points)
    found = await suite.query.GetRuleContributions(analytics.GetRuleContributionsRequest())
    assert {each.rule: (each.leads, each.points) for each in found.rules} == {
        rule: (len(points), sum(points)) for rule, points in lines.items()
    }
    assert [each.points for each in found.rules] == sorted((each.points for each in found.rules), reverse=True)
    assert found.total_score == sum(naive.leads.values()) == sum(each.points for each in found.rules)
