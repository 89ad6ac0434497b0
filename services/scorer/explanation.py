"""Why a score is what it is: from what was stored with it, or worked out for a time in the past."""

from leadscore.scorer.v1 import scorer_service_pb2 as contract

from services.scorer.conditions.expression import compile_model
from services.scorer.scoring.compiled import CompiledModel
from services.scorer.scoring.evaluation import BOUND, ROUNDING, raw_points
from services.scorer.scoring.lead import DAY_US, Lead, Override
from services.scorer.scoring.replay import rescore
from services.scorer.scoring.tally import Measure, measure
from services.scorer.scoring.weights import FULL
from services.scorer.store import Store
from services.scorer.versions import Versions
from services.scorer.wire import to_contributions, to_timestamp
from services.shared.errors import NotFound

Measures = dict[str, Measure]


async def explain(store: Store, tenant_id: str, lead_id: str) -> contract.ExplainScoreResponse:
    """The explanation that was stored with a lead's score. Raises NotFound."""
    async with store.snapshot() as transaction:
        lead = await transaction.load_lead(tenant_id, lead_id)
        if lead is None:
            raise NotFound(f"nothing is known of lead {lead_id!r}")
        model = await transaction.model(tenant_id, lead.model_version)
    return _explanation(lead, model)


async def explain_as_of(
    store: Store, versions: Versions, tenant_id: str, lead_id: str, as_of_us: int, version: int
) -> contract.ExplainScoreResponse:
    """The score at a time in the past, by the facts that had happened by then. Raises NotFound."""
    model = compile_model(await versions.load(tenant_id, version))
    async with store.snapshot() as transaction:
        history = (await transaction.load_histories(tenant_id, [lead_id], model, as_of_us))[lead_id]
    if not history.days and not history.facts:
        raise NotFound(f"nothing was known of lead {lead_id!r} by then")
    folding, _ = rescore(model, Lead(lead_id), history, as_of_us)
    folding.lead.version = 0
    explanation = _explanation(folding.lead, model)
    explanation.as_of.CopyFrom(to_timestamp(as_of_us))
    return explanation


def _explanation(lead: Lead, model: CompiledModel) -> contract.ExplainScoreResponse:
    today = lead.evaluated_us // DAY_US
    measures = {
        name: measure(model.rules[name], tally, today) for name, tally in lead.tallies.items() if name in model.rules
    }
    explanation = contract.ExplainScoreResponse(
        lead_id=lead.lead_id,
        score=lead.score,
        machine_score=lead.machine_score,
        engagement=lead.engagement,
        fit=lead.fit,
        engagement_raw=_raw(lead, "engagement", lead.engagement),
        fit_raw=_raw(lead, "fit", lead.fit),
        grade=lead.grade,
        version=lead.version,
        model_version=lead.model_version,
        contributions=to_contributions(
            (name, measures[name].count if name in measures else 0, points) for name, points in lead.lines.items()
        ),
        rules=[_rule(name, points, measures, model) for name, points in lead.lines.items() if name in model.rules],
        evaluated_on=to_timestamp(today * DAY_US),
    )
    if lead.override is not None and lead.override.holds(lead.evaluated_us):
        explanation.override.CopyFrom(to_override(lead.override))
    return explanation


def to_override(override: Override) -> contract.Override:
    """An override as the contract has it."""
    until_us = override.until_us
    return contract.Override(
        score=override.score,
        reason=override.reason,
        until=None if until_us is None else to_timestamp(until_us),
        actor=override.actor,
    )


def _raw(lead: Lead, part: str, points: int) -> float:
    """A part of the score before its bounds and rounding."""
    return points - lead.lines.get(f"{ROUNDING}{part}", 0) - lead.lines.get(f"{BOUND}{part}", 0)


def _rule(name: str, points: float, measures: Measures, model: CompiledModel) -> contract.RuleExplanation:
    rule, found = model.rules[name], measures.get(name, Measure())
    return contract.RuleExplanation(
        rule=name,
        group=rule.group,
        matched=found.matched,
        count=found.count,
        weight=found.weight / FULL,
        points_each=rule.points,
        raw=raw_points(rule, found),
        points=points,
    )
