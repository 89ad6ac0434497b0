"""A model ready to be applied: its conditions as functions, its rules by the types that they see."""

from collections.abc import Callable, Mapping
from typing import Any

from services.scorer.scoring.lead import Fact
from services.scorer.scoring.model import ANY, Group, Model, Rule

TYPES_MAX = 10_000
"""Event types whose rules are remembered; senders choose the names, so there may be any number of them."""

EventCondition = Callable[[Fact], bool]
ProfileCondition = Callable[[Mapping[str, Any]], bool]


class CompiledModel:
    """A model with what is worked out from it once.

    `event_conditions` are those of the rules that have one, by the rule's name, and `profile_conditions` those of the
    criteria. They never raise: what a condition cannot be asked of does not fulfil it.
    """

    def __init__(
        self,
        model: Model,
        event_conditions: Mapping[str, EventCondition] | None = None,
        profile_conditions: Mapping[str, ProfileCondition] | None = None,
    ) -> None:
        self.model = model
        self.event_conditions = event_conditions or {}
        self.profile_conditions = profile_conditions or {}
        self.rules = {rule.name: rule for rule in model.rules}
        self.criteria = {criterion.name: criterion for criterion in model.criteria}
        self.bounded_groups = _bounded(model.groups)
        self.bounded_fit_groups = _bounded(model.fit_groups)
        self.rule_groups = {rule.name: rule.group for rule in model.rules}
        self.fit_groups = {criterion.name: criterion.group for criterion in model.criteria}
        self.unasked = tuple(rule for rule in model.rules if (rule.minimum or 0) > 0 or (rule.maximum or 0) < 0)
        """Rules that give points to a lead without any event, by a bound that 0 is beyond."""
        self.aging = tuple(rule for rule in model.rules if rule.weight is not None)
        """Rules whose points change with time alone."""
        self._by_type: dict[str, tuple[Rule, ...]] = {}

    @property
    def version(self) -> int:
        """The model's version."""
        return self.model.version

    @property
    def types_needing_the_event(self) -> frozenset[str] | None:
        """The types, as they are sent, of which a rule needs to know more than how many came on a day; None: all."""
        needing = [rule for rule in self.model.rules if rule.needs_the_event]
        if any(rule.event_type.endswith(ANY) for rule in needing):
            return None
        types = {rule.event_type for rule in needing}
        return frozenset(types | {alias for alias, target in self.model.aliases.items() if target in types})

    def rules_for(self, event_type: str) -> tuple[Rule, ...]:
        """The rules that see events of a type as it was sent, in the model's order."""
        rules = self._by_type.get(event_type)
        if rules is None:
            canonical = self.model.canonical_type(event_type)
            rules = tuple(rule for rule in self.model.rules if rule.sees(canonical))
            if len(self._by_type) >= TYPES_MAX:
                self._by_type.clear()
            self._by_type[event_type] = rules
        return rules

    def fulfils(self, rule: Rule, fact: Fact) -> bool:
        """Whether an event of the rule's type fulfils its condition."""
        return not rule.condition or self.event_conditions[rule.name](fact)


def _bounded(groups: tuple[Group, ...]) -> tuple[Group, ...]:
    return tuple(group for group in groups if group.minimum is not None or group.maximum is not None)
