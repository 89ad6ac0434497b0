"""What is wrong with a model, each fault by its place and its words."""

from dataclasses import replace
from math import inf, nan
from typing import Any

import pytest

from services.scorer.scoring.default_model import default_model
from services.scorer.scoring.model import (
    Band,
    Criterion,
    Decay,
    Frequency,
    Grades,
    Group,
    Measured,
    Model,
    Rule,
    Threshold,
    Weight,
)
from services.scorer.scoring.validation import POINTS_MAX, WEIGHT_DAYS_MAX, Fault, faults_of

VIEW = Rule("view", "page_view", 5)
FIRM = Criterion("firm", "industry", words={"tech": 5})
GOOD = Model(1, (VIEW,), (FIRM,))


def rule(**changes: Any) -> Model:
    return replace(GOOD, rules=(replace(VIEW, **changes),))


def criterion(**changes: Any) -> Model:
    return replace(GOOD, criteria=(replace(FIRM, **changes),))


def in_group(of_rule: dict[str, Any], *bounds: int | None) -> Model:
    return replace(rule(group="web", **of_rule), groups=(Group("web", *bounds),))


def grades(**changes: Any) -> Model:
    return replace(GOOD, grades=replace(Grades(), **changes))


def threshold(*parts: Any, **changes: Any) -> Model:
    return replace(GOOD, thresholds=(Threshold(*parts),), **changes)


@pytest.mark.parametrize(
    "model",
    [
        GOOD,
        default_model(),
        Model(1),
        rule(points=POINTS_MAX),
        rule(points=-POINTS_MAX),
        rule(minimum=-POINTS_MAX, maximum=POINTS_MAX),
        rule(minimum=5, maximum=5),
        rule(event_type="*"),
        rule(event_type="shop_*"),
        rule(frequency=Frequency(1)),
        rule(frequency=Frequency(None, 1)),
        rule(frequency=Frequency(2, 2)),
        rule(weight=Weight(Decay.LINEAR, 1)),
        rule(weight=Weight(Decay.LINEAR, WEIGHT_DAYS_MAX)),
        in_group({"minimum": 5}, None, 5),
        in_group({"maximum": 5, "points": -1}, 5, None),
        in_group({"maximum": 4, "points": 0}, 5, None),
        in_group({}, 5, 6),
        in_group({"minimum": 9}, 5, None),
        in_group({"maximum": 1, "points": -1}, None, 6),
        # Only the bounds of a rule's own group are its business.
        replace(GOOD, rules=(replace(VIEW, minimum=9),), groups=(Group("web", 0, 5),), criteria=(FIRM,)),
        criterion(key="", words={}, condition="true", points=5),
        criterion(words={"tech": POINTS_MAX, "finance": -POINTS_MAX}, otherwise=1),
        criterion(words={}, bands=(Band(1, 5), Band(1, 6, exclusive=True), Band(-1, 1))),
        replace(GOOD, groups=(Group("engagement", 1, 2),), fit_groups=(Group("fit", 1, 2),)),
        replace(GOOD, rules=(), criteria=(), groups=(Group("engagement"),), fit_groups=(Group("fit"),)),
        replace(GOOD, aliases={"visit": "page_view", "look": "page_view"}),
        replace(GOOD, engagement_max=POINTS_MAX, fit_max=POINTS_MAX, score_max=POINTS_MAX),
        replace(GOOD, fit_max=0, grades=Grades(letters=())),
        replace(GOOD, engagement_max=0, grades=Grades(digits=())),
        replace(GOOD, engagement_max=1, grades=Grades(letters=(), digits=(("1", 1),))),
        grades(letters=(), digits=(), hysteresis=7),
        grades(letters=(("A", 100), ("B", 99)), hysteresis=49),
        grades(letters=(("1", 75),)),
        threshold("hot", 1),
        threshold("hot", 1000, 999),
        threshold("hot", 100, 0, Measured.FIT),
        threshold("hot", 9, 8, Measured.ENGAGEMENT, engagement_max=200),
    ],
)
def test_a_good_model_has_no_faults(model: Model) -> None:
    model = model if model.groups == () or model.groups[0].name != "web" else used(model)
    assert faults_of(model) == []


def used(model: Model) -> Model:
    """The group `web` holds something, if only a rule beside the one that is tried."""
    return replace(model, rules=(*model.rules, Rule("beside", "purchase", 1, "web")))


WEB = Group("web")
FIRM_GROUP = Group("firm")


@pytest.mark.parametrize(
    ("model", "path", "description"),
    [
        # Names.
        (
            replace(GOOD, rules=(VIEW, replace(VIEW, points=6))),
            "rules[1].name",
            "there is a rule or criterion 'view' already; each name stands once",
        ),
        (
            criterion(name="view"),
            "criteria[0].name",
            "there is a rule or criterion 'view' already; each name stands once",
        ),
        (
            replace(in_group({}), groups=(WEB, WEB)),
            "groups[1].name",
            "there is a group 'web' already; each name stands once",
        ),
        (
            replace(criterion(group="firm"), fit_groups=(FIRM_GROUP, FIRM_GROUP)),
            "fit_groups[1].name",
            "there is a group of criteria 'firm' already; each name stands once",
        ),
        (
            replace(GOOD, thresholds=(Threshold("hot", 5), Threshold("hot", 6))),
            "thresholds[1].name",
            "there is a threshold 'hot' already; each name stands once",
        ),
        *(
            (model, path, f"{name!r} is the name of a line that the suite itself writes; use another")
            for name in ("override", "bound:engagement", "rounding:fit")
            for model, path in ((rule(name=name), "rules[0].name"), (criterion(name=name), "criteria[0].name"))
        ),
        # Aliases.
        (replace(GOOD, aliases={"visit": "visit"}), "aliases[visit]", "'visit' is an alias of itself"),
        (
            replace(GOOD, aliases={"look": "visit", "visit": "page_view"}),
            "aliases[look]",
            "'look' leads to 'visit', which is an alias itself; name the type that rules name",
        ),
        # Rules.
        (
            rule(points=POINTS_MAX + 1),
            "rules[0].points",
            "'view' gives 1e+06 points; at most 1000000 of either sign are possible",
        ),
        (
            rule(points=-2e6),
            "rules[0].points",
            "'view' gives -2e+06 points; at most 1000000 of either sign are possible",
        ),
        (rule(points=nan), "rules[0].points", "'view' gives nan points; at most 1000000 of either sign are possible"),
        (rule(points=inf), "rules[0].points", "'view' gives inf points; at most 1000000 of either sign are possible"),
        (
            rule(minimum=6, maximum=5),
            "rules[0].minimum",
            "rule 'view' is held between 6 and 5, which nothing is",
        ),
        (
            rule(minimum=-POINTS_MAX - 1),
            "rules[0].minimum",
            "rule 'view' is held at -1000001; at most 1000000 of either sign are possible",
        ),
        (
            rule(maximum=POINTS_MAX + 1),
            "rules[0].maximum",
            "rule 'view' is held at 1000001; at most 1000000 of either sign are possible",
        ),
        (
            replace(rule(event_type="visit"), aliases={"visit": "page_view"}),
            "rules[0].event_type",
            "rule 'view' can never match: 'visit' is an alias of 'page_view'; name that",
        ),
        (rule(event_type="*_view"), "rules[0].event_type", "rule 'view': a * stands only at the end"),
        (rule(event_type="**"), "rules[0].event_type", "rule 'view': a * stands only at the end"),
        (
            rule(frequency=Frequency(0)),
            "rules[0].frequency.count_max",
            "rule 'view' can never count: at most 0 events may",
        ),
        (
            rule(frequency=Frequency(None, -1)),
            "rules[0].frequency.count_max_per_day",
            "rule 'view' can never count: at most -1 events may",
        ),
        (
            rule(frequency=Frequency(per="source")),
            "rules[0].frequency",
            "rule 'view' limits nothing: set count_max or count_max_per_day",
        ),
        (
            rule(frequency=Frequency(2, 3)),
            "rules[0].frequency",
            "rule 'view' lets more events count in a day than in all",
        ),
        (
            rule(weight=Weight(Decay.FRAME, 0)),
            "rules[0].weight",
            "rule 'view' decays over 0 days; 1 to 3650 are possible",
        ),
        (
            rule(weight=Weight(Decay.FRAME, 3651)),
            "rules[0].weight",
            "rule 'view' decays over 3651 days; 1 to 3650 are possible",
        ),
        (
            in_group({"minimum": 6}, None, 5),
            "rules[0].minimum",
            "rule 'view' gives at least 6, but its group 'web' at most 5",
        ),
        (
            in_group({"maximum": 4, "points": -0.5}, 5, None),
            "rules[0].maximum",
            "rule 'view' gives at most 4, but its group 'web' at least 5",
        ),
        # Criteria.
        *(
            (
                criterion(**{"key": "", "words": {}, "condition": "true", **more}),
                "criteria[0]",
                "criterion 'firm' has a condition and a key; it is one or the other",
            )
            for more in ({"key": "a"}, {"bands": (Band(1, 5),)}, {"words": {"tech": 5}}, {"otherwise": 1})
        ),
        (
            criterion(key="", words={}, condition="true", points=2e6),
            "criteria[0].points",
            "'firm' gives 2e+06 points; at most 1000000 of either sign are possible",
        ),
        (criterion(key=""), "criteria[0].key", "criterion 'firm' needs a key or a condition"),
        (
            criterion(words={}),
            "criteria[0]",
            "criterion 'firm' can never give points: it has neither bands nor words nor a condition",
        ),
        (
            criterion(points=5),
            "criteria[0].points",
            "criterion 'firm': points of its own are for a condition; bands and words have theirs",
        ),
        (
            criterion(words={}, bands=(Band(1, 5),), otherwise=5),
            "criteria[0].otherwise",
            "criterion 'firm' has points for other words, but lists no words",
        ),
        (
            criterion(otherwise=2e6),
            "criteria[0].otherwise",
            "'firm' gives 2e+06 points; at most 1000000 of either sign are possible",
        ),
        (
            criterion(words={"tech": 5, "finance": 2e6}),
            "criteria[0].words[finance]",
            "'firm' gives 2e+06 points; at most 1000000 of either sign are possible",
        ),
        (
            criterion(words={"Tech": 5}),
            "criteria[0].words[Tech]",
            "criterion 'firm' can never match 'Tech': words are 'tech' and so on",
        ),
        (
            criterion(words={" tech": 5}),
            "criteria[0].words[ tech]",
            "criterion 'firm' can never match ' tech': words are 'tech' and so on",
        ),
        (
            criterion(bands=(Band(1, 5), Band(2, 2e6))),
            "criteria[0].bands[1].points",
            "'firm' gives 2e+06 points; at most 1000000 of either sign are possible",
        ),
        (
            criterion(bands=(Band(1, 5), Band(inf, 5))),
            "criteria[0].bands[1].at_least",
            "criterion 'firm': must be a finite number",
        ),
        (
            criterion(bands=(Band(50_000, 5), Band(50_000, 6))),
            "criteria[0].bands",
            "criterion 'firm' has 2 bands from 50000",
        ),
        # Groups.
        (replace(GOOD, groups=(WEB,)), "groups[0].name", "group 'web' holds nothing"),
        (replace(GOOD, fit_groups=(FIRM_GROUP,)), "fit_groups[0].name", "group 'firm' holds nothing"),
        (
            replace(GOOD, groups=(Group("engagement", 6, 5),)),
            "groups[0].minimum",
            "group 'engagement' is held between 6 and 5, which nothing is",
        ),
        (
            replace(GOOD, fit_groups=(Group("fit", None, 2_000_000),)),
            "fit_groups[0].maximum",
            "group 'fit' is held at 2000000; at most 1000000 of either sign are possible",
        ),
        # Totals.
        (replace(GOOD, engagement_max=POINTS_MAX + 1), "engagement_max", "must be 0 to 1000000"),
        (replace(GOOD, fit_max=POINTS_MAX + 1), "fit_max", "must be 0 to 1000000"),
        (replace(GOOD, score_max=-1), "score_max", "must be 0 to 1000000"),
        (replace(GOOD, score_max=0), "score_max", "with these bounds every score is 0"),
        (
            replace(GOOD, engagement_max=0, fit_max=0, grades=Grades(letters=(), digits=())),
            "score_max",
            "with these bounds every score is 0",
        ),
        # Grades.
        (
            grades(letters=(("A", 101), ("B", 50))),
            "grades.letters[0]",
            "'A' can never be reached: it starts at 101, and fit_max is 100",
        ),
        (
            grades(digits=(("1", 1001),)),
            "grades.digits[0]",
            "'1' can never be reached: it starts at 1001, and engagement_max is 1000",
        ),
        (
            grades(letters=(("A", 50), ("B", 50))),
            "grades.letters[1]",
            "'B' starts at 50, not below 'A' before it",
        ),
        (
            grades(letters=(("A", 75), ("D", 50))),
            "grades.letters",
            "there is a grade 'D' already; each name stands once",
        ),
        (grades(digits=(("3", 75),)), "grades.digits", "there is a grade '3' already; each name stands once"),
        (
            grades(hysteresis=-1),
            "grades.hysteresis",
            "a grade reached could never be left: must be 0 or more and below the lowest threshold, 25",
        ),
        (
            grades(hysteresis=25),
            "grades.hysteresis",
            "a grade reached could never be left: must be 0 or more and below the lowest threshold, 25",
        ),
        (
            grades(letters=(), digits=(("1", 8), ("2", 4)), hysteresis=4),
            "grades.hysteresis",
            "a grade reached could never be left: must be 0 or more and below the lowest threshold, 4",
        ),
        # Thresholds.
        (
            threshold("grade", 5),
            "thresholds[0].name",
            "'grade' is what crossings of the grade are announced as; use another name",
        ),
        (threshold("hot", 1001), "thresholds[0].at", "threshold 'hot' can never be crossed at 1001: 1 to 1000 can"),
        (
            threshold("hot", 101, 0, Measured.FIT),
            "thresholds[0].at",
            "threshold 'hot' can never be crossed at 101: 1 to 100 can",
        ),
        (
            threshold("hot", 201, 0, Measured.ENGAGEMENT, engagement_max=200),
            "thresholds[0].at",
            "threshold 'hot' can never be crossed at 201: 1 to 200 can",
        ),
        (threshold("hot", 0), "thresholds[0].at", "threshold 'hot' can never be crossed at 0: 1 to 1000 can"),
        (
            threshold("hot", 9, 9),
            "thresholds[0].hysteresis",
            "threshold 'hot' could never be left: must be 0 to 8",
        ),
        (
            threshold("hot", 9, -1),
            "thresholds[0].hysteresis",
            "threshold 'hot' could never be left: must be 0 to 8",
        ),
    ],
)
def test_a_fault_says_where_it_is_and_what(model: Model, path: str, description: str) -> None:
    assert faults_of(model) == [Fault(path, description)]


def test_a_grade_that_starts_below_1_is_for_nobody() -> None:
    assert Fault("grades.letters[0]", "'A' starts at 0: the last one is for those below; 1 or more") in faults_of(
        grades(letters=(("A", 0),), digits=())
    )


def test_all_faults_are_found_at_once_each_where_it_is() -> None:
    model = Model(
        1,
        (VIEW, Rule("a*", "a*b", nan, "web", 7, 6)),
        (FIRM, Criterion("nothing")),
        (WEB, Group("hall")),
        (Group("fit"), Group("cellar")),
        thresholds=(Threshold("hot", 5), Threshold("cold", 0, 1)),
    )
    assert [fault.path for fault in faults_of(model)] == [
        "rules[1].points",
        "rules[1].minimum",
        "rules[1].event_type",
        "criteria[1].key",
        "criteria[1]",
        "groups[1].name",
        "fit_groups[1].name",
        "thresholds[1].at",
        "thresholds[1].hysteresis",
    ]
