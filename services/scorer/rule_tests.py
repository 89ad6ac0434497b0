"""What a rule makes of an event, or a criterion of a profile, with the reason in a sentence."""

from leadscore.scorer.v1 import scorer_service_pb2 as contract

from services.scorer.conditions.expression import EVENT, PROFILE, Expression, event_value, profile_value
from services.scorer.models import read_criterion, read_rule
from services.scorer.scoring.lead import Fact
from services.scorer.scoring.model import Criterion, Model, Rule
from services.scorer.versions import faults
from services.shared.errors import FieldViolation, InvalidRequest
from services.shared.facts.identity import fold_type
from services.shared.facts.properties import read


def try_rule(request: contract.TestRuleRequest) -> contract.TestRuleResponse:
    """Tries a rule or a criterion. Raises InvalidRequest for one that no model could hold."""
    if request.WhichOneof("tested") == "rule":
        rule = read_rule(request.rule)
        _check(Model(0, rules=(rule,)), "rules[0].", "rule.")
        event = request.event
        fact = Fact("", "", fold_type(event.type), 0, read(event.properties, "event.properties"), event.source)
        return _try_rule(rule, fact)
    criterion = read_criterion(request.criterion)
    _check(Model(0, criteria=(criterion,)), "criteria[0].", "criterion.")
    return _try_criterion(criterion, read(request.profile, "profile"))


def _check(model: Model, path: str, field: str) -> None:
    if found := faults(model):
        raise InvalidRequest([FieldViolation(each.path.replace(path, field), each.description) for each in found])


def _try_rule(rule: Rule, fact: Fact) -> contract.TestRuleResponse:
    if not rule.sees(fact.type):
        return _no(f"the rule sees events of type {rule.event_type!r}, and this is {fact.type!r}")
    if rule.condition:
        fulfilled, failure = Expression(rule.condition, EVENT).answer(event_value(fact))
        if not fulfilled:
            return _unfulfilled(failure)
    return contract.TestRuleResponse(matches=True, points=rule.points, explanation="it matches")


def _try_criterion(criterion: Criterion, profile: dict[str, object]) -> contract.TestRuleResponse:
    if criterion.condition:
        fulfilled, failure = Expression(criterion.condition, PROFILE).answer(profile_value(profile))
        if not fulfilled:
            return _unfulfilled(failure)
        return contract.TestRuleResponse(matches=True, points=criterion.points, explanation="it matches")
    value = profile.get(criterion.key)
    if value is None:
        return _no(f"the profile does not know {criterion.key!r}")
    points = criterion.points_of(value)
    if not points:
        return _no(f"{criterion.key!r} is {value!r}, which gives no points")
    return contract.TestRuleResponse(matches=True, points=points, explanation=f"{criterion.key!r} is {value!r}")


def _unfulfilled(failure: str) -> contract.TestRuleResponse:
    if not failure:
        return _no("the condition is false")
    answer = _no(f"the condition cannot be asked, which makes it false: {failure}")
    answer.condition_failed = True
    return answer


def _no(why: str) -> contract.TestRuleResponse:
    return contract.TestRuleResponse(matches=False, explanation=why)
