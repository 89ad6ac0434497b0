"""Figures about all leads on real servers: right through all that can happen to leads."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from leadscore.event.v1 import event_pb2
from leadscore.model.v1 import model_pb2
from leadscore.query.v1 import analytics_pb2 as analytics
from leadscore.scorer.v1 import scorer_service_pb2 as scorer

from services.query.analytics import sums
from services.scorer import rollups
from services.scorer.scoring.evaluation import PARTS_OF_A_POINT
from services.shared.settings import Settings
from tests.analytics_life import Days, Life, period
from tests.checks import assert_sums_are_those_of_the_leads
from tests.parts import Suite
from tests.shop import POINTS, SCORE_MAX, TYPES, Row, expected_of, shop_rows, to_event

MODEL = model_pb2.ModelDefinition(
    rules=[
        model_pb2.Rule(name="looked", event_type="page_view", points=3.3, maximum=90),
        model_pb2.Rule(name="wrote", event_type="form_submission", points=40),
        model_pb2.Rule(name="fresh", event_type="visit", points=100, weight=model_pb2.Weight(lifespan_days=5)),
        model_pb2.Rule(name="bought", event_type="purchase", points=150),
    ],
    criteria=[model_pb2.Criterion(name="named", condition="has(profile.company)", points=25)],
    score_max=400,
)
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)
SOURCES = ("shop", "mail", "", "fair")


@pytest.fixture
async def life(settings: Settings) -> AsyncIterator[Life]:
    clock = Days()
    async with Suite(settings, clock) as suite:
        await suite.start("ingest", "scorer", "query")
        yield Life(suite, clock)
        assert_sums_are_those_of_the_leads(settings.database_url)


def shop_events(rows: list[Row]) -> list[event_pb2.Event]:
    """The rows as events that come from somewhere."""
    events = [to_event(row) for row in rows]
    for event in events:
        event.source = SOURCES[zlib.crc32(f"{event.event_id}{event.lead_id}".encode()) % len(SOURCES)]
    return events


def visit(number: int, lead: str, at: datetime, source: str = "shop") -> event_pb2.Event:
    event = event_pb2.Event(event_id=f"visit {number}", lead_id=lead, type="visit", source=source)
    event.occurred_at.FromDatetime(at)
    return event


async def test_every_figure_is_that_of_the_stored_leads_and_events_whatever_happens_to_them(life: Life) -> None:
    await life.check()
    events = shop_events(shop_rows(900, 24)[:900])
    leads = sorted({event.lead_id for event in events})[:20]
    await life.send(*events[:600])
    await life.next_day()
    await companies_and_statuses(life, leads)
    await life.next_day(2)
    await late_profiles_and_statuses(life, leads)
    await life.check()
    await life.erase(leads[0], leads[5], leads[11], "nobody's", "never heard of")
    await life.check()
    await companies_and_statuses(life, leads[4:])
    draft = await life.suite.scorer.CreateDraft(scorer.CreateDraftRequest(definition=MODEL))
    begun = await life.suite.scorer.PublishModel(scorer.PublishModelRequest(version=draft.version, rescore=True))
    await life.send(*events[600:], *events[550:650])
    request = scorer.GetOperationRequest(operation_id=begun.operation.operation_id)
    while (await life.suite.scorer.GetOperation(request)).state == scorer.OPERATION_STATE_RUNNING:
        pass
    await life.next_day()
    now = datetime.now(UTC)
    await life.send(*(visit(number, lead, now) for number, lead in enumerate(leads[:6])))
    await life.send(*(visit(100 + number, lead, LONG_AGO, "old") for number, lead in enumerate(leads[3:9])))
    await overrides(life, leads)
    await life.next_day()
    await life.erase(leads[2], leads[3])
    await life.next_day(3)
    cleared = await life.suite.scorer.ClearOverride(scorer.ClearOverrideRequest(lead_id=leads[1]))
    life.said(cleared.consistency_token)
    await life.next_day(10)
    await life.check()


async def companies_and_statuses(life: Life, leads: list[str]) -> None:
    for number, lead in enumerate(leads[:12]):
        await life.profile(lead, company=["Acme", "Äther > Co", "acme", "x" * 300, "a\nb"][number % 5])
    await life.profile("nobody's", company="Acme", budget=20_000)
    for lead, *statuses in (
        (leads[0], "contacted", "qualified", "won"),
        (leads[1], "won"),
        (leads[2], "qualified", "lost"),
        (leads[3], "contacted", "contacted", "new", "contacted"),
        (leads[4], "new"),
        ("unheard of", "lost"),
    ):
        for status in statuses:
            await life.status(lead, status)


async def late_profiles_and_statuses(life: Life, leads: list[str]) -> None:
    """Other companies, none, and what is no company; facts that come between, and before, those that are known."""
    now, long_ago = datetime.now(UTC), datetime(2022, 6, 1, tzinfo=UTC)
    await life.profile(leads[0], company="Zett")
    await life.profile(leads[1], company=None)
    await life.profile(leads[2], company=7)
    await life.profile(leads[3], company="")
    await life.profile(leads[4], long_ago, company="too late")
    await life.profile(leads[19], long_ago, company="Äther > Co")
    for lead, status, at in (
        (leads[5], "won", now - timedelta(days=1)),
        (leads[5], "contacted", now - timedelta(days=9, hours=7)),
        (leads[5], "lost", now - timedelta(days=4, seconds=1.5)),
        (leads[0], "lost", long_ago),
        (leads[6], "qualified", long_ago - timedelta(days=1)),
        (leads[7], "qualified", datetime(2023, 9, 9, 9, tzinfo=UTC)),
        (leads[7], "contacted", datetime(2023, 9, 8, 23, 59, 59, 999_999, tzinfo=UTC)),
    ):
        await life.status(lead, status, at)


async def overrides(life: Life, leads: list[str]) -> None:
    tomorrow = Timestamp()
    tomorrow.FromMicroseconds(life.clock.now_us() + 3_600_000_000)
    for lead, score, until in ((leads[0], 0, None), (leads[1], 777, None), (leads[2], 350, tomorrow)):
        request = scorer.OverrideScoreRequest(lead_id=lead, score=score, reason="by hand", until=until)
        life.said((await life.suite.scorer.OverrideScore(request)).consistency_token)


async def test_the_figures_of_a_file_are_those_that_its_rows_give(life: Life) -> None:
    rows = shop_rows()
    await life.send(*map(to_event, rows))
    standing = list({row.event_id: row for row in reversed(rows)}.values())
    scores = expected_of(rows).scores
    day_of = {row.event_id: datetime.fromisoformat(row.ts).date() for row in standing}
    first, last = min(day_of.values()), max(day_of.values())
    scored = analytics.GetSourcesRequest(consistency_token=life.token)
    (source,) = (await life.suite.query.GetSources(scored)).sources
    assert (source.source, source.events, source.leads) == ("", len(standing), len(scores))
    activity = await life.suite.query.GetActivity(analytics.GetActivityRequest(**period(first, last)))
    of_days = Counter((day_of[row.event_id], TYPES[row.event_type]) for row in standing)
    assert {(each.at.ToDatetime().date(), each.type): each.events for each in activity.points} == of_days
    active = await life.suite.query.GetActiveLeads(analytics.GetActiveLeadsRequest(**period(first, last)))
    of_leads = Counter(day for day, _ in {(day_of[row.event_id], row.user_id) for row in standing})
    assert {each.at.ToDatetime().date(): each.leads for each in active.points} == of_leads
    spread = await life.suite.query.GetDistribution(analytics.GetDistributionRequest(bucket_points=100))
    assert {each.from_score: each.leads for each in spread.scores} == Counter(
        score // 100 * 100 for score in scores.values()
    )
    assert (spread.leads, spread.average_score) == (len(scores), sum(scores.values()) / len(scores))
    given = await life.suite.query.GetRuleContributions(analytics.GetRuleContributionsRequest())
    of_rules = Counter(TYPES[row.event_type] for row in standing)
    found = {each.rule: (each.leads, each.points) for each in given.rules}
    for rule, events in of_rules.items():
        leads = {row.user_id for row in standing if TYPES[row.event_type] == rule}
        assert found.pop(rule) == (len(leads), events * POINTS[rule])
    cut = {lead: score for lead, score in scores.items() if score == SCORE_MAX}
    assert given.total_score == sum(scores.values())
    assert sum(points for _, points in found.values()) == sum(scores.values()) - sum(
        events * POINTS[rule] for rule, events in of_rules.items()
    )
    assert all(leads <= len(cut) for leads, _ in found.values()), found


def test_query_and_scorer_mean_the_same_by_a_kind() -> None:
    assert {kind.name: kind.value for kind in sums.Kind} == {kind.name: kind.value for kind in rollups.Kind}
    assert (sums.SCORE_STEP, sums.PARTS_OF_A_POINT) == (rollups.SCORE_STEP, PARTS_OF_A_POINT)
