"""Leads that are kept in memory from batch to batch: nobody else writes them as long as the lease holds."""

from collections.abc import Iterable
from itertools import islice

from services.scorer.effects import Effects, LeadKey
from services.scorer.scoring.fold import Folding
from services.scorer.scoring.lead import Lead
from services.scorer.wire import Incoming

LEADS_MAX = 20_000
"""Leads that are kept, some 35 MB: those that are busy at the same time, several times as many as one batch holds."""


def remember(leads: dict[LeadKey, Lead], effects: Effects) -> None:
    """Keeps the leads of a batch among others; those not touched for the longest time make room."""
    for key in effects.erasures.leads:
        leads.pop(key, None)
    for key, folding in effects.foldings.items():
        leads.pop(key, None)
        leads[key] = folding.lead
    for key in list(islice(leads, max(0, len(leads) - LEADS_MAX))):
        del leads[key]


def missing(
    tenant_id: str, facts: Iterable[Incoming], leads: dict[LeadKey, Lead], foldings: dict[LeadKey, Folding]
) -> list[str]:
    """The leads that facts of a tenant are about, without those that are kept or being folded into, each once."""
    found = {each.fact.lead_id for each in facts if (tenant_id, each.fact.lead_id) not in leads}
    return [lead_id for lead_id in found if (tenant_id, lead_id) not in foldings]
