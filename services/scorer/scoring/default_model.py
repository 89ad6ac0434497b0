"""The model that a new tenant starts with. Seeded once; what an admin has made of it is never touched again."""

from services.scorer.scoring.model import Band, Criterion, Model, Rule


def default_model() -> Model:
    """Five rules for engagement and four criteria for fit, 100 points of fit at most."""
    return Model(
        version=1,
        rules=(
            Rule("page_view", "page_view", 5),
            Rule("email_open", "email_open", 10),
            Rule("form_submission", "form_submission", 20),
            Rule("demo_request", "demo_request", 50),
            Rule("purchase", "purchase", 100),
        ),
        criteria=(
            Criterion("budget", "budget", bands=(Band(50_000, 30), Band(10_000, 20), Band(0, 10, exclusive=True))),
            Criterion(
                "company_size", "company_size", bands=(Band(500, 30), Band(100, 20), Band(0, 10, exclusive=True))
            ),
            Criterion("industry", "industry", words={"tech": 20, "finance": 15, "healthcare": 10}, otherwise=5),
            Criterion("urgency", "urgency", words={"immediately": 20, "this_week": 15, "this_month": 10}, otherwise=5),
        ),
        aliases={"form_submit": "form_submission"},
    )
