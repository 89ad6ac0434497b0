"""The default model and the grades, by examples."""

import pytest

from services.scorer.models import dump_model, load_model
from services.scorer.scoring.default_model import default_model
from services.scorer.scoring.evaluation import engagement_part, fit_part
from services.scorer.scoring.fold import Folding
from services.scorer.scoring.lead import PROFILE, Fact, Lead
from services.scorer.scoring.model import Group, Model, Rule


@pytest.mark.parametrize(
    ("profile", "points"),
    [
        ({"budget": 50_000, "company_size": 250, "industry": "tech", "urgency": "this_week"}, 85),
        ({"budget": 49_999.99, "company_size": 500, "industry": "finance", "urgency": "immediately"}, 85),
        ({"budget": 10_000, "company_size": 99, "industry": "healthcare", "urgency": "this_month"}, 50),
        ({"budget": 1, "company_size": 1, "industry": "fishing", "urgency": "later"}, 30),
        ({"budget": 0, "company_size": 0}, 0),
        ({"budget": "50000", "company_size": True, "industry": 3, "urgency": None}, 0),
        ({}, 0),
        ({"industry": " TECH "}, 20),
    ],
)
def test_fit_of_the_default_model(profile: dict[str, object], points: int) -> None:
    assert fit_part(default_model(), profile).points == points


@pytest.mark.parametrize(
    ("event_type", "points"),
    [
        ("page_view", 5),
        ("email_open", 10),
        ("form_submission", 20),
        ("form_submit", 20),
        ("demo_request", 50),
        ("purchase", 100),
        ("unheard_of", 0),
    ],
)
def test_points_of_one_event_in_the_default_model(event_type: str, points: int) -> None:
    folding = Folding(default_model(), Lead("ada"))
    folding.apply(Fact("e1", "ada", event_type, 0))
    assert folding.lead.score == points


@pytest.mark.parametrize(
    ("engagement", "fit", "grade"),
    [(200, 75, "A1"), (199, 74, "B2"), (50, 50, "B2"), (49, 49, "C3"), (0, 25, "C3"), (0, 24, "D3"), (1000, 0, "D1")],
)
def test_a_grade_is_a_fit_letter_and_an_engagement_digit(engagement: int, fit: int, grade: str) -> None:
    assert default_model().grades.grade(engagement, fit) == grade


def test_half_a_point_rounds_up_and_says_so() -> None:
    model = Model(1, (Rule("half", "page_view", 0.5),), ())
    part = engagement_part(model, {"half": 3})
    assert (part.points, part.lines) == (2, {"half": 1.5, "rounding": 0.5})


def test_a_group_holds_the_sum_of_its_rules_and_says_what_it_took() -> None:
    rules = (Rule("views", "page_view", 5, "web"), Rule("opens", "email_open", 10, "web"))
    model = Model(1, rules, (), (Group("web", maximum=12),))
    part = engagement_part(model, {"views": 2, "opens": 1})
    assert (part.points, part.lines) == (12, {"views": 10, "opens": 10, "bound:group:web": -8})


def test_a_late_profile_does_not_overwrite_a_newer_one_and_null_forgets() -> None:
    folding = Folding(default_model(), Lead("ada"))
    folding.apply(Fact("e2", "ada", PROFILE, 20, {"industry": "tech", "name": None}))
    folding.apply(Fact("e1", "ada", PROFILE, 10, {"industry": "finance", "name": "Ada", "city": "Turin"}))
    assert folding.lead.profile == {"industry": "tech", "city": "Turin"}


def test_a_model_is_the_same_after_it_was_stored() -> None:
    assert load_model(1, dump_model(default_model())) == default_model()
