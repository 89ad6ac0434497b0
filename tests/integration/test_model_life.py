"""Models from draft to rescore, decay, overrides, what was set apart: on real servers, with a clock that is moved."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import psycopg
import pytest
from google.protobuf.struct_pb2 import Struct
from grpc import aio
from leadscore.admin.v1 import admin_service_pb2 as admin
from leadscore.event.v1 import event_pb2
from leadscore.ingest.v1 import ingest_service_pb2 as ingest
from leadscore.model.v1 import model_pb2
from leadscore.query.v1 import query_service_pb2 as query
from leadscore.score.v1 import score_pb2
from leadscore.scorer.v1 import scorer_service_pb2 as scorer

from services.shared.settings import Settings
from tests.checks import BROKEN_LEDGERS, assert_sums_are_those_of_the_leads
from tests.parts import MovedClock, Suite

DEADLINE_S = 20.0
LINEAR = model_pb2.Weight(lifespan_days=10)


@pytest.fixture
async def suite(settings: Settings) -> AsyncIterator[Suite]:
    async with Suite(settings, MovedClock()) as suite:
        await suite.start("ingest", "scorer", "query")
        yield suite
        assert_sums_are_those_of_the_leads(settings.database_url)
        with psycopg.connect(settings.database_url) as connection:
            assert connection.execute(BROKEN_LEDGERS).fetchall() == []


async def until(ask: Callable[[], Awaitable[Any]], answer: Callable[[Any], bool]) -> Any:
    """Asks until the answer is as wanted: the work is done in the background, and nobody calls."""
    async with asyncio.timeout(DEADLINE_S):
        while not answer(found := await ask()):
            pass
    return found


def event(
    number: int, lead: str = "ada", kind: str = "page_view", days_ago: float = 0, **properties: Any
) -> event_pb2.Event:
    made = event_pb2.Event(event_id=f"e{number}", lead_id=lead, type=kind, source="shop")
    made.occurred_at.FromDatetime(datetime.now(UTC) - timedelta(days=days_ago))
    if properties:
        made.properties.update(properties)
    return made


async def publish(suite: Suite, *events: event_pb2.Event) -> str:
    answer = await suite.ingest.PublishEvents(ingest.PublishEventsRequest(events=events))
    assert answer.rejected == 0
    return answer.consistency_token


async def explain(suite: Suite, lead: str = "ada", token: str = "", **more: Any) -> scorer.ExplainScoreResponse:
    why = await suite.scorer.ExplainScore(scorer.ExplainScoreRequest(lead_id=lead, consistency_token=token, **more))
    assert sum(each.points for each in why.contributions) == why.score
    return why


async def history(suite: Suite, lead: str = "ada") -> list[query.LedgerEntry]:
    answer = await suite.query.ListHistory(query.ListHistoryRequest(lead_id=lead, page_size=1000))
    for entry in answer.entries:
        assert sum(each.points for each in entry.contributions) == entry.delta
    return list(answer.entries)


async def draft(suite: Suite, **definition: Any) -> int:
    made = model_pb2.ModelDefinition(**definition)
    model = await suite.scorer.CreateDraft(scorer.CreateDraftRequest(definition=made, comment="a try"))
    return int(model.version)


async def published(suite: Suite, rescore: bool = False, **definition: Any) -> scorer.PublishModelResponse:
    version = await draft(suite, **definition)
    return await suite.scorer.PublishModel(scorer.PublishModelRequest(version=version, rescore=rescore))


async def done(suite: Suite, operation: scorer.Operation) -> scorer.Operation:
    request = scorer.GetOperationRequest(operation_id=operation.operation_id)
    ended: scorer.Operation = await until(
        lambda: suite.scorer.GetOperation(request), lambda found: found.state != scorer.OPERATION_STATE_RUNNING
    )
    assert ended.state == scorer.OPERATION_STATE_DONE
    return ended


def rule(name: str, points: float, **more: Any) -> model_pb2.Rule:
    return model_pb2.Rule(name=name, event_type=more.pop("event_type", "page_view"), points=points, **more)


async def refused(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    return caught.value.code(), str(caught.value.details())


async def test_a_draft_is_edited_published_and_republished_and_who_did_it_is_kept(suite: Suite) -> None:
    seeded = await suite.scorer.GetModel(scorer.GetModelRequest())
    assert (seeded.version, seeded.state) == (1, model_pb2.MODEL_STATE_PUBLISHED)
    copy = await suite.scorer.CreateDraft(scorer.CreateDraftRequest(comment="copied"))
    assert copy.definition == seeded.definition
    assert copy.state == model_pb2.MODEL_STATE_DRAFT
    definition = model_pb2.ModelDefinition(rules=[rule("visit", 7)])
    edit = scorer.UpdateDraftRequest(version=2, definition=definition, revision=1)
    edited = await suite.scorer.UpdateDraft(edit)
    assert (edited.revision, edited.definition.rules[0].points) == (2, 7)
    assert await refused(suite.scorer.UpdateDraft(edit)) == (
        grpc.StatusCode.ABORTED, "version 2 is at revision 2, not 1; read it again",
    )  # fmt: skip
    await suite.scorer.PublishModel(scorer.PublishModelRequest(version=2))
    code, why = await refused(suite.scorer.UpdateDraft(scorer.UpdateDraftRequest(version=2, definition=definition)))
    assert code == grpc.StatusCode.FAILED_PRECONDITION
    assert "never changes again" in why
    token = await publish(suite, event(1))
    assert (await explain(suite, token=token)).score == 7
    await suite.scorer.PublishModel(scorer.PublishModelRequest(version=1))
    models = (await suite.scorer.ListModels(scorer.ListModelsRequest())).models
    assert [(model.version, model.state) for model in models] == [
        (2, model_pb2.MODEL_STATE_RETIRED), (1, model_pb2.MODEL_STATE_PUBLISHED),
    ]  # fmt: skip
    assert (await suite.scorer.GetModel(scorer.GetModelRequest(version=2))).definition.rules[0].points == 7
    entries = (await suite.admin.ListAudit(admin.ListAuditRequest())).entries
    assert [(entry.action, entry.subject) for entry in entries] == [
        ("model.publish", "model/1"), ("model.publish", "model/2"), ("model.update", "model/2"),
        ("model.create", "model/2"),
    ]  # fmt: skip
    assert {entry.actor for entry in entries} == {"anybody on this machine"}
    await suite.scorer.CreateDraft(scorer.CreateDraftRequest(from_version=2))
    await suite.scorer.DeleteDraft(scorer.DeleteDraftRequest(version=3))
    assert (await refused(suite.scorer.GetModel(scorer.GetModelRequest(version=3))))[0] == grpc.StatusCode.NOT_FOUND


async def test_a_bad_model_is_refused_with_every_fault_and_the_published_one_is_untouched(suite: Suite) -> None:
    definition = model_pb2.ModelDefinition(
        rules=[
            rule("twice", 1e12),
            rule("twice", 1, condition="event.properties.x >"),
            rule("decay", 1, weight=model_pb2.Weight(half_life_days=0)),
            rule("backtracks", 1, condition='event.source.matches("(a+)+$")'),
            rule("deep", 1, condition="(" * 300 + "event.source == 'x'" + ")" * 300),
            rule("unknown", 1, condition="soon(event)"),
            rule("never", 1, condition='event.type == "purchase"'),
        ],
        aliases={"a": "b", "b": "a"},
    )
    code, why = await refused(suite.scorer.CreateDraft(scorer.CreateDraftRequest(definition=definition)))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "definition.rules[1].name" in why
    found = (await suite.scorer.ValidateModel(scorer.ValidateModelRequest(definition=definition))).faults
    said = {fault.field: fault.description for fault in found}
    assert set(said) == {
        "rules[0].points", "rules[1].name", "rules[1].condition", "rules[2].weight", "rules[3].condition",
        "rules[4].condition", "rules[5].condition", "rules[6].condition", "aliases[a]", "aliases[b]",
    }  # fmt: skip
    assert "line 1, column 21" in said["rules[1].condition"]
    assert "backtracking" in said["rules[3].condition"]
    many = model_pb2.ModelDefinition(rules=[rule(f"rule {number}", 1) for number in range(10_000)])
    code, why = await refused(suite.scorer.CreateDraft(scorer.CreateDraftRequest(definition=many)))
    assert (code, "definition.rules" in why) == (grpc.StatusCode.INVALID_ARGUMENT, True)
    huge = model_pb2.ModelDefinition(rules=[rule("huge", 1, condition="event.source == '" + "x" * 1_000_000 + "'")])
    assert (await refused(suite.scorer.CreateDraft(scorer.CreateDraftRequest(definition=huge))))[0] == code
    assert [model.version for model in (await suite.scorer.ListModels(scorer.ListModelsRequest())).models] == [1]


async def test_a_lead_goes_over_to_a_new_model_with_its_next_fact_and_its_ledger_says_so(suite: Suite) -> None:
    await explain(suite, token=await publish(suite, event(1), event(2), event(3, "grace")))
    await published(suite, rules=[rule("visit", 30, condition='event.source == "shop"')])
    token = await publish(suite, event(4))
    assert (await explain(suite, token=token)).score == 90
    entries = await history(suite)
    assert [(entry.cause, entry.delta, entry.model_version) for entry in entries] == [
        (score_pb2.CAUSE_EVENT, 30, 2), (score_pb2.CAUSE_RESCORE, 50, 2), (score_pb2.CAUSE_EVENT, 5, 1),
        (score_pb2.CAUSE_EVENT, 5, 1),
    ]  # fmt: skip
    untouched = await explain(suite, "grace")
    assert (untouched.score, untouched.model_version) == (5, 1)


async def test_simulating_says_what_rescoring_then_does(suite: Suite) -> None:
    events = [event(number, f"lead {number % 40:02}", total=number) for number in range(200)]
    await explain(suite, "lead 00", token=await publish(suite, *events))
    version = await draft(suite, rules=[rule("big", 100, condition="event.properties.total >= 180.0", maximum=150)])
    answers = [each async for each in suite.scorer.Simulate(scorer.SimulateRequest(version=version, movers=3))]
    assert [each.leads_done for each in answers] == [40, 40]
    report = answers[-1].report
    assert (report.leads, report.up, report.down) == (40, 20, 20)
    assert [(each.from_score, each.before, each.after) for each in report.scores] == [(0, 40, 20), (100, 0, 20)]
    assert {each.grade: (each.before, each.after, each.entering, each.leaving) for each in report.grades} == {
        "D2": (0, 20, 20, 0), "D3": (40, 20, 0, 20),
    }  # fmt: skip
    assert [(each.before, each.after, each.leads, len(each.lead_ids)) for each in report.moves] == [
        ("D3", "D2", 20, 20)
    ]
    assert [each.lead_id for each in report.risers] == ["lead 20", "lead 21", "lead 22"]
    for mover in [*report.risers, *report.fallers]:
        assert sum(each.points for each in mover.contributions) == mover.score_after - mover.score_before
    assert (await explain(suite, "lead 20")).score == 25, "a simulation changes nothing"
    begun = await suite.scorer.PublishModel(scorer.PublishModelRequest(version=version, rescore=True))
    ended = await done(suite, begun.operation)
    assert (ended.leads_total, ended.leads_done, ended.leads_changed) == (40, 40, 40)
    page = await suite.query.ListLeaderboard(query.ListLeaderboardRequest(page_size=100))
    assert {entry.lead_id: entry.score for entry in page.entries} == {
        f"lead {number:02}": 100 if number >= 20 else 0 for number in range(40)
    }
    again = await done(suite, await suite.scorer.Rescore(scorer.RescoreRequest()))
    assert (again.leads_done, again.leads_changed) == (40, 0), "what is stored is what replay gives"


async def test_a_rescore_goes_on_after_a_restart_beside_live_events_and_can_be_cancelled(suite: Suite) -> None:
    events = [event(number, f"lead {number}") for number in range(1_200)]
    await explain(suite, "lead 0", token=await publish(suite, *events))
    begun = await published(suite, rescore=True, rules=[rule("visit", 8)])
    await suite.stop("scorer")
    token = await publish(suite, *[event(5_000 + number, f"lead {number}") for number in range(300)])
    await suite.start("scorer")
    ended = await done(suite, begun.operation)
    assert ended.leads_done == 1_200
    assert (await explain(suite, "lead 0", token=token)).score == 16
    assert (await explain(suite, "lead 1199")).score == 8
    stopped = await suite.scorer.CancelOperation(scorer.CancelOperationRequest(operation_id=ended.operation_id))
    assert stopped.state == scorer.OPERATION_STATE_DONE, "one that has ended stays as it is"
    await suite.stop("scorer")
    with psycopg.connect(suite.settings.database_url) as connection:
        connection.execute("INSERT INTO scorers VALUES ('another', now() + interval '1 hour')")
        connection.execute("UPDATE partitions SET owner = 'another'")
    await suite.start("scorer")
    waiting = await suite.scorer.Rescore(scorer.RescoreRequest())
    newer = await suite.scorer.Rescore(scorer.RescoreRequest())
    listed = (await suite.scorer.ListOperations(scorer.ListOperationsRequest())).operations
    assert [(each.operation_id, each.state) for each in listed[:2]] == [
        (newer.operation_id, scorer.OPERATION_STATE_RUNNING), (waiting.operation_id, scorer.OPERATION_STATE_CANCELLED),
    ]  # fmt: skip
    stopped = await suite.scorer.CancelOperation(scorer.CancelOperationRequest(operation_id=newer.operation_id))
    assert stopped.state == scorer.OPERATION_STATE_CANCELLED


async def test_points_decay_by_themselves_and_thresholds_fire_on_the_way(suite: Suite) -> None:
    assert isinstance(suite.clock, MovedClock)
    threshold = model_pb2.Threshold(name="call now", at=60, hysteresis=5)
    await published(suite, rules=[rule("visit", 100, weight=LINEAR)], thresholds=[threshold])
    watched = suite.query.WatchScores(query.WatchScoresRequest())
    await watched.initial_metadata()
    token = await publish(suite, event(1))
    assert (await explain(suite, token=token)).score == 100
    forecast = await suite.scorer.ForecastScore(scorer.ForecastScoreRequest(lead_id="ada"))
    assert [step.score for step in forecast.steps] == [90, 80, 70, 60, 50, 40, 30, 20, 10, 0]
    below = [step.score for step in forecast.steps if any(each.threshold == "call now" for each in step.crossings)]
    assert below == [50]
    updates = []
    for days, score in [(0, 100), (1, 90), (4, 50), (30, 0)]:
        suite.clock.move(days)
        async for answer in watched:
            if answer.HasField("update"):
                updates.append(answer.update)
                assert (answer.update.lead_id, answer.update.score) == ("ada", score)
                break
    watched.cancel()
    crossings = [[(each.threshold, each.after) for each in update.crossings] for update in updates]
    assert crossings == [[("grade", "D2"), ("call now", "above")], [], [("call now", "below")], [("grade", "D3")]]
    entries = await history(suite)
    assert [(entry.cause, entry.score_after) for entry in entries] == [
        (score_pb2.CAUSE_DECAY, 0), (score_pb2.CAUSE_DECAY, 50), (score_pb2.CAUSE_DECAY, 90),
        (score_pb2.CAUSE_EVENT, 100),
    ]  # fmt: skip
    late = await publish(suite, event(2, days_ago=-0.001))
    assert (await explain(suite, token=late)).score == 0, "an event of long ago counts by its age"


async def test_any_time_in_the_past_can_be_asked_for(suite: Suite) -> None:
    await published(suite, rules=[rule("visit", 100, weight=LINEAR)])
    profile = ingest.UpsertLeadRequest(lead_id="ada", profile=_struct(urgency="immediately"))
    profile.occurred_at.FromDatetime(datetime.now(UTC) - timedelta(days=2))
    await suite.ingest.UpsertLead(profile)
    await explain(suite, token=await publish(suite, event(1, days_ago=4), event(2, days_ago=1)))
    scores = []
    for days in (0, 1.5, 3):
        request = scorer.ExplainScoreRequest(lead_id="ada")
        request.as_of.FromDatetime(datetime.now(UTC) - timedelta(days=days))
        scores.append((await suite.scorer.ExplainScore(request)).score)
    assert scores[0] == (await explain(suite)).score
    today = datetime.now(UTC)
    earlier = (today - timedelta(days=1.5)).date()
    age = (earlier - (today - timedelta(days=4)).date()).days
    assert scores[1] == 100 - 10 * age
    by_default = scorer.ExplainScoreRequest(lead_id="ada", model_version=1, as_of=request.as_of)
    assert (await suite.scorer.ExplainScore(by_default)).score == 5
    request.as_of.FromDatetime(datetime.now(UTC) - timedelta(days=30))
    assert (await refused(suite.scorer.ExplainScore(request)))[0] == grpc.StatusCode.NOT_FOUND
    request.as_of.FromDatetime(datetime.now(UTC) + timedelta(days=1))
    assert (await refused(suite.scorer.ExplainScore(request)))[0] == grpc.StatusCode.INVALID_ARGUMENT


async def test_a_score_set_by_hand_holds_until_its_end_and_the_machine_goes_on_beside_it(suite: Suite) -> None:
    assert isinstance(suite.clock, MovedClock)
    await publish(suite, event(1))
    request = scorer.OverrideScoreRequest(lead_id="ada", score=700, reason="met at the fair", event_id="by hand")
    request.until.FromDatetime(datetime.now(UTC) + timedelta(hours=1))
    token = (await suite.scorer.OverrideScore(request)).consistency_token
    await suite.scorer.OverrideScore(request)
    why = await explain(suite, token=token)
    assert (why.score, why.machine_score, why.override.reason) == (700, 5, "met at the fair")
    assert why.contributions[-1] == score_pb2.Contribution(rule="override", points=695)
    await explain(suite, token=await publish(suite, event(2)))
    board = (await suite.query.ListLeaderboard(query.ListLeaderboardRequest())).entries
    assert [(entry.score, entry.machine_score) for entry in board] == [(700, 10)]
    suite.clock.move(1)
    lead = query.GetLeadRequest(lead_id="ada")
    await until(lambda: suite.query.GetLead(lead), lambda found: found.score == 10)
    entries = await history(suite)
    assert [(entry.cause, entry.delta) for entry in entries] == [
        (score_pb2.CAUSE_OVERRIDE, -690), (score_pb2.CAUSE_EVENT, 0), (score_pb2.CAUSE_OVERRIDE, 695),
        (score_pb2.CAUSE_EVENT, 5),
    ]  # fmt: skip
    forever = scorer.OverrideScoreRequest(lead_id="ada", score=1, reason="a competitor")
    await suite.scorer.OverrideScore(forever)
    token = (await suite.scorer.ClearOverride(scorer.ClearOverrideRequest(lead_id="ada"))).consistency_token
    assert (await explain(suite, token=token)).score == 10
    (*_, set_first) = (await suite.admin.ListAudit(admin.ListAuditRequest(subject="lead/ada"))).entries
    assert dict(set_first.details) == {
        "score": 700, "reason": "met at the fair", "until": request.until.ToJsonString()
    }  # fmt: skip
    request.until.FromDatetime(datetime.now(UTC) - timedelta(hours=1))
    assert "until" in (await refused(suite.scorer.OverrideScore(request)))[1]
    request.until.seconds = 10**15
    assert (await refused(suite.scorer.OverrideScore(request)))[0] == grpc.StatusCode.INVALID_ARGUMENT
    actions = [
        entry.action for entry in (await suite.admin.ListAudit(admin.ListAuditRequest(subject="lead/ada"))).entries
    ]
    assert actions == ["override.clear", "override.set", "override.set", "override.set"]


async def test_status_owner_and_notes_are_facts_of_which_the_later_one_holds(suite: Suite) -> None:
    now = datetime.now(UTC)
    for status, ago in (("qualified", 1), ("contacted", 5)):
        change = ingest.SetLeadStatusRequest(lead_id="ada", status=status)
        change.occurred_at.FromDatetime(now - timedelta(hours=ago))
        await suite.ingest.SetLeadStatus(change)
    await suite.ingest.AssignLead(ingest.AssignLeadRequest(lead_id="ada", owner="grace@example.com"))
    note = ingest.AddNoteRequest(lead_id="ada", text="Calls back\non Monday", author="Grace", event_id="note 1")
    first = await suite.ingest.AddNote(note)
    again = await suite.ingest.AddNote(note)
    assert (first.outcome, again.outcome) == (ingest.OUTCOME_ACCEPTED, ingest.OUTCOME_DUPLICATE)
    lead = await suite.query.GetLead(query.GetLeadRequest(lead_id="ada", consistency_token=again.consistency_token))
    assert (lead.status, lead.owner, lead.event_count, lead.score) == ("qualified", "grace@example.com", 0, 0)
    assert [(each.text, each.author) for each in lead.notes] == [("Calls back\non Monday", "Grace")]
    bad = ingest.SetLeadStatusRequest(lead_id="ada", status="sold")
    assert (await refused(suite.ingest.SetLeadStatus(bad)))[0] == grpc.StatusCode.INVALID_ARGUMENT


async def test_what_was_set_apart_is_released_once_or_dropped_for_ever(suite: Suite) -> None:
    await publish(suite, event(1))
    others = [event(1, "grace", "purchase"), event(1, "joan", "purchase")]
    for other in others:
        token = await publish(suite, other)
    listed = await suite.scorer.ListQuarantine(scorer.ListQuarantineRequest(consistency_token=token))
    joan, grace = listed.items
    assert (grace.lead_id, grace.state, grace.kind) == ("grace", scorer.QUARANTINE_STATE_HELD, "event")
    release = scorer.ReleaseQuarantinedRequest(item_id=grace.item_id, note="two shops, one counter")
    released = await suite.scorer.ReleaseQuarantined(release)
    assert (await explain(suite, "grace", token=released.consistency_token)).score == 100
    again = await suite.scorer.ReleaseQuarantined(release)
    assert again.event_id == released.event_id
    assert (await explain(suite, "grace", token=again.consistency_token)).score == 100
    drop = scorer.DropQuarantinedRequest(item_id=joan.item_id)
    assert (await suite.scorer.DropQuarantined(drop)).state == scorer.QUARANTINE_STATE_DROPPED
    release.item_id = joan.item_id
    assert (await refused(suite.scorer.ReleaseQuarantined(release)))[0] == grpc.StatusCode.FAILED_PRECONDITION
    drop.item_id = grace.item_id
    assert (await refused(suite.scorer.DropQuarantined(drop)))[0] == grpc.StatusCode.FAILED_PRECONDITION
    token = await publish(suite, *others)
    held = await suite.scorer.ListQuarantine(scorer.ListQuarantineRequest(consistency_token=token))
    assert list(held.items) == [], "what was decided about is known by its repeats"
    states = scorer.ListQuarantineRequest(state=scorer.QUARANTINE_STATE_RELEASED)
    assert [each.note for each in (await suite.scorer.ListQuarantine(states)).items] == ["two shops, one counter"]
    found = await suite.scorer.GetQuarantined(scorer.GetQuarantinedRequest(item_id=joan.item_id))
    assert (found.decided_by, found.state) == ("anybody on this machine", scorer.QUARANTINE_STATE_DROPPED)
    actions = [entry.action for entry in (await suite.admin.ListAudit(admin.ListAuditRequest())).entries]
    assert actions == ["quarantine.drop", "quarantine.release"]


async def test_a_rule_is_tried_and_says_why_it_does_not_match(suite: Suite) -> None:
    tried = rule("big", 9, condition="event.properties.total > 100.0")

    async def ask(**event: Any) -> tuple[bool, float, bool, str]:
        properties = _struct(**event.pop("properties", {}))
        sent = event_pb2.Event(type=event.pop("type", "Page View"), properties=properties, **event)
        answer = await suite.scorer.TestRule(scorer.TestRuleRequest(rule=tried, event=sent))
        return answer.matches, answer.points, answer.condition_failed, answer.explanation

    assert await ask(properties={"total": 101}) == (True, 9, False, "it matches")
    assert (await ask(properties={"total": 99}))[:3] == (False, 0, False)
    for bad in ({}, {"total": None}, {"total": "much"}, {"total": [1]}):
        matches, points, failed, why = await ask(properties=bad)
        assert (matches, points, failed) == (False, 0, True)
        assert "cannot be asked" in why
    assert "sees events of type 'page_view'" in (await ask(type="purchase"))[3]
    criterion = model_pb2.Criterion(name="swiss", condition='profile.country == "CH"', points=20)
    answer = await suite.scorer.TestRule(scorer.TestRuleRequest(criterion=criterion, profile=_struct(country="CH")))
    assert (answer.matches, answer.points) == (True, 20)


def _struct(**values: Any) -> Struct:
    struct = Struct()
    struct.update(values)
    return struct
