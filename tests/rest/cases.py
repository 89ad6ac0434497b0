"""For each RPC with a REST path: a request, what must differ between two answers to it, and a bad request.

A new RPC needs an entry here; the test names those that have none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from leadscore.admin.v1 import admin_service_pb2 as admin
from leadscore.event.v1 import event_pb2
from leadscore.ingest.v1 import ingest_service_pb2 as ingest
from leadscore.model.v1 import model_pb2
from leadscore.query.v1 import analytics_pb2 as analytics
from leadscore.query.v1 import query_service_pb2 as query
from leadscore.scorer.v1 import scorer_service_pb2 as scorer

from tests.conftest import ADMIN_KEY
from tests.rest.whole import Whole

LONG = "x" * 201
"""Longer than an id may be."""
NO_CONSISTENCY = "no token at all"
FACT = frozenset({"event_id", "consistency_token"})
"""What is new in each answer to a published fact."""
DRAFT = frozenset({"version", "created_at", "updated_at"})

Make = Callable[[Whole, str], Awaitable[Any]]
"""Makes the request for a way in, "grpc" or "rest": the same for both but for the names of what is changed."""


@dataclass(frozen=True)
class Case:
    """How an RPC is compared with its REST path."""

    make: Make
    bad: Any
    """A request that is refused, with `bad_key`."""
    differs: frozenset[str] = frozenset()
    """Fields that are another's in each answer, by nature: made ids, places in the stream, clocks."""
    messages: int | None = None
    """Of a stream without an end: how many are compared."""
    bad_key: str = ADMIN_KEY


CASES: dict[str, Case] = {}


def case(name: str, bad: Any, **more: Any) -> Callable[[Make], Make]:
    """Makes a function the maker of an RPC's requests."""

    def put(make: Make) -> Make:
        CASES[name] = Case(make, bad, **more)
        return make

    return put


def plain(name: str, request: Any, bad: Any, **more: Any) -> None:
    """An RPC whose request is always the same."""

    async def make(whole: Whole, way: str) -> Any:
        return request

    case(name, bad, **more)(make)


def of_lead(name: str, request: Callable[..., Any], bad: Any = None, **fields: Any) -> None:
    """An RPC that reads a lead."""

    async def make(whole: Whole, way: str) -> Any:
        return request(lead_id=whole.leads[0], **fields)

    case(name, bad or request(lead_id="nobody knows them"))(make)


def on_lead(name: str, request: Callable[..., Any], **fields: Any) -> None:
    """An RPC that publishes a fact about a lead, each time another one."""

    async def make(whole: Whole, way: str) -> Any:
        return request(lead_id=f"{way}/{name}+ü ?", **fields)

    case(name, request(lead_id=LONG, **fields), differs=FACT)(make)


def _ago(days: float) -> Timestamp:
    moment = Timestamp()
    moment.FromDatetime((datetime.now(UTC) - timedelta(days)).replace(microsecond=123_000))
    return moment


def _event(**fields: Any) -> event_pb2.Event:
    event = event_pb2.Event(**{"lead_id": "ada", "type": "Page View", "source": "shop", **fields})
    event.occurred_at.CopyFrom(_ago(1))
    event.properties.update({"total": 1.5, "tags": ["a", None, {"b": True}], "snake_case": "ü\n"})
    return event


def _profile(lead_id: str) -> ingest.UpsertLeadRequest:
    request = ingest.UpsertLeadRequest(lead_id=lead_id)
    request.profile.update(PROFILE)
    return request


PROFILE: dict[str, Any] = {"name": "Ada", "budget": 5e4, "company_size": 12, "gone": None}
_BACKWARDS: dict[str, Any] = {"from": _ago(1), "to": _ago(3)}
RULE = model_pb2.Rule(
    name="visit", event_type="page_*", points=-2.5, condition="event.properties.total > 1.0", maximum=0,
    weight=model_pb2.Weight(lifespan_days=30),
)  # fmt: skip
BAD_RULE = model_pb2.Rule(name="", event_type="Not A Type")
DEFINITION = model_pb2.ModelDefinition(
    rules=[RULE],
    criteria=[model_pb2.Criterion(name="trade", key="industry", words={"tech": 5.5}, otherwise=1)],
    aliases={"visit": "page_view"},
    engagement_max=300,
)
BAD_DEFINITION = model_pb2.ModelDefinition(rules=[RULE, BAD_RULE])


@case(
    "PublishEvent",
    bad=ingest.PublishEventRequest(event=_event(lead_id="", type="1st")),
    differs=frozenset({"event_id", "consistency_token"}),
)
async def _publish_event(whole: Whole, way: str) -> Any:
    return ingest.PublishEventRequest(event=_event(event_id=f"{way}-1"))


@case(
    "PublishEvents",
    bad=ingest.PublishEventsRequest(events=[_event(), _event(source=LONG)], all_or_nothing=True),
    differs=frozenset({"results.event_id", "consistency_token"}),
)
async def _publish_events(whole: Whole, way: str) -> Any:
    twice = _event(event_id=f"{way}-2")
    return ingest.PublishEventsRequest(events=[twice, twice, _event(event_id=f"{way}-3", type="1st")])


on_lead("UpsertLead", _profile)
on_lead("SetLeadStatus", ingest.SetLeadStatusRequest, status="won", source="fair", occurred_at=_ago(2))
on_lead("AssignLead", ingest.AssignLeadRequest, owner="ada@example.org")
on_lead("AddNote", ingest.AddNoteRequest, text="two\nlines", author="Ada")
on_lead("DeleteLead", ingest.DeleteLeadRequest)
on_lead("OverrideScore", scorer.OverrideScoreRequest, score=7, reason="a friend", until=_ago(-9))
on_lead("ClearOverride", scorer.ClearOverrideRequest)


@case(
    "UpsertLeads",
    bad=ingest.UpsertLeadsRequest(),
    differs=frozenset({"results.event_id", "consistency_token"}),
)
async def _upsert_leads(whole: Whole, way: str) -> Any:
    return ingest.UpsertLeadsRequest(leads=[_profile(f"{way}/1"), _profile(LONG), _profile(f"{way}/2")])


plain("ListModels", scorer.ListModelsRequest(page_size=2), scorer.ListModelsRequest(page_size=1001))
plain("GetModel", scorer.GetModelRequest(version=0), scorer.GetModelRequest(version=-1))
plain(
    "CreateDraft",
    scorer.CreateDraftRequest(definition=DEFINITION, comment="a try"),
    scorer.CreateDraftRequest(definition=BAD_DEFINITION),
    differs=DRAFT,
)
plain(
    "ValidateModel",
    scorer.ValidateModelRequest(
        definition=model_pb2.ModelDefinition(rules=[RULE, RULE], thresholds=[model_pb2.Threshold(name="t", at=-1)])
    ),
    scorer.ValidateModelRequest(definition=model_pb2.ModelDefinition(aliases={"Not A Type": "page_view"})),
)
plain("PublishModel", scorer.PublishModelRequest(version=1), scorer.PublishModelRequest(version=999_999))
plain("Simulate", scorer.SimulateRequest(version=2, movers=3), scorer.SimulateRequest(version=2, movers=101))
plain(
    "TestRule",
    scorer.TestRuleRequest(rule=RULE, event=_event()),
    scorer.TestRuleRequest(event=_event()),
)
plain(
    "Rescore",
    scorer.RescoreRequest(),
    scorer.RescoreRequest(),
    bad_key="another key",
    differs=frozenset({"operation_id", "created_at"}),
)
plain("ListOperations", scorer.ListOperationsRequest(), scorer.ListOperationsRequest(page_token="nowhere"))
plain(
    "GetProgress",
    scorer.GetProgressRequest(),
    scorer.GetProgressRequest(),
    bad_key="another key",
    differs=frozenset({"lag_s", "events_per_s", "partitions.lag_s"}),
)
of_lead("ForecastScore", scorer.ForecastScoreRequest, days=400)
of_lead("ExplainScore", scorer.ExplainScoreRequest, as_of=_ago(0.5), model_version=2)
plain("ListQuarantine", scorer.ListQuarantineRequest(page_size=2), scorer.ListQuarantineRequest(page_size=1001))
plain("ListAudit", admin.ListAuditRequest(page_size=3), admin.ListAuditRequest(subject="x" * 301))


async def _draft(whole: Whole) -> int:
    return int((await whole.open("CreateDraft", scorer.CreateDraftRequest(from_version=1))).version)


@case(
    "UpdateDraft",
    bad=scorer.UpdateDraftRequest(version=1, definition=DEFINITION),
    differs=DRAFT,
)
async def _update_draft(whole: Whole, way: str) -> Any:
    return scorer.UpdateDraftRequest(version=await _draft(whole), definition=DEFINITION, revision=1, comment="edited")


@case("DeleteDraft", bad=scorer.DeleteDraftRequest(version=1))
async def _delete_draft(whole: Whole, way: str) -> Any:
    return scorer.DeleteDraftRequest(version=await _draft(whole))


async def _operation(whole: Whole) -> int:
    return int((await whole.open("ListOperations", scorer.ListOperationsRequest())).operations[-1].operation_id)


@case("GetOperation", bad=scorer.GetOperationRequest(operation_id=-5))
async def _get_operation(whole: Whole, way: str) -> Any:
    return scorer.GetOperationRequest(operation_id=await _operation(whole))


@case("CancelOperation", bad=scorer.CancelOperationRequest(operation_id=0))
async def _cancel_operation(whole: Whole, way: str) -> Any:
    return scorer.CancelOperationRequest(operation_id=await _operation(whole))


async def _items(whole: Whole) -> list[int]:
    """What was set apart, whatever was decided about it."""
    found = []
    for state in scorer.QuarantineState.values()[1:]:
        request = scorer.ListQuarantineRequest(state=state, page_size=1000)
        found += [item.item_id for item in (await whole.open("ListQuarantine", request)).items]
    return sorted(found)


@case("GetQuarantined", bad=scorer.GetQuarantinedRequest(item_id=0))
async def _get_quarantined(whole: Whole, way: str) -> Any:
    return scorer.GetQuarantinedRequest(item_id=(await _items(whole))[0])


@case(
    "ReleaseQuarantined",
    bad=scorer.ReleaseQuarantinedRequest(item_id=1, note="x" * 1001),
    differs=frozenset({"consistency_token"}),
)
async def _release_quarantined(whole: Whole, way: str) -> Any:
    request = scorer.ReleaseQuarantinedRequest(item_id=(await _items(whole))[1], note="it counts")
    await whole.open("ReleaseQuarantined", request)  # Both ways repeat it.
    return request


@case("DropQuarantined", bad=scorer.DropQuarantinedRequest(item_id=0))
async def _drop_quarantined(whole: Whole, way: str) -> Any:
    request = scorer.DropQuarantinedRequest(item_id=(await _items(whole))[2], note="it does not")
    await whole.open("DropQuarantined", request)  # Both ways repeat it.
    return request


of_lead("GetLead", query.GetLeadRequest)
of_lead("GetRank", query.GetRankRequest)
of_lead("ListHistory", query.ListHistoryRequest, page_size=5)
of_lead("ListEvents", query.ListEventsRequest, page_size=5, types=["Page View", "purchase"])
of_lead("GetScoreSeries", query.GetScoreSeriesRequest, step=query.SERIES_STEP_DAY, to=_ago(-1))
plain(
    "ListLeads",
    query.ListLeadsRequest(page_size=3, filter='score >= 20 AND profile.industry = "tech"', order_by="score"),
    query.ListLeadsRequest(filter="score >="),
)
plain(
    "ListLeaderboard",
    query.ListLeaderboardRequest(page_size=4, filter="status != lost"),
    query.ListLeaderboardRequest(around_lead_id="nobody knows them"),
)
plain(
    "ListMovers",
    query.ListMoversRequest(direction=query.DIRECTION_UP, size=5, since=_ago(3)),
    query.ListMoversRequest(size=-1),
)
plain("WatchLeaderboard", query.WatchLeaderboardRequest(size=5), query.WatchLeaderboardRequest(size=101), messages=1)
plain(
    "GetActivity",
    analytics.GetActivityRequest(types=["page_view"]),
    analytics.GetActivityRequest(types=["page_view"] * 51),
)
plain(
    "GetActiveLeads",
    analytics.GetActiveLeadsRequest(),
    analytics.GetActiveLeadsRequest(**_BACKWARDS),
)
plain(
    "GetDistribution",
    analytics.GetDistributionRequest(bucket_points=20, to=_ago(0)),
    analytics.GetDistributionRequest(bucket_points=7),
)
plain("GetSources", analytics.GetSourcesRequest(), analytics.GetSourcesRequest(consistency_token=NO_CONSISTENCY))
plain(
    "GetCompanies",
    analytics.GetCompaniesRequest(order=analytics.COMPANY_ORDER_LEADS),
    analytics.GetCompaniesRequest(size=1001),
)
plain("GetFunnel", analytics.GetFunnelRequest(), analytics.GetFunnelRequest(consistency_token=NO_CONSISTENCY))
plain(
    "GetRuleContributions",
    analytics.GetRuleContributionsRequest(),
    analytics.GetRuleContributionsRequest(consistency_token=NO_CONSISTENCY),
)
plain("ListImports", query.ListImportsRequest(page_size=1), query.ListImportsRequest(page_size=-1))
plain("GetImport", query.GetImportRequest(import_id="shop"), query.GetImportRequest(import_id="none"))
plain(
    "ListImportErrors",
    query.ListImportErrorsRequest(import_id="shop", page_size=2),
    query.ListImportErrorsRequest(import_id="not an id"),
)


@case("WatchScores", bad=query.WatchScoresRequest(min_score=-1), messages=40)
async def _watch_scores(whole: Whole, way: str) -> Any:
    return query.WatchScoresRequest(resume_token=whole.beginning, lead_ids=whole.leads)
