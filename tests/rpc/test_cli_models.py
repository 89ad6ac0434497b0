"""`leadscore model` against planned answers: files in and out, drafts, publishing, simulations."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from leadscore.event.v1 import event_pb2
from leadscore.model.v1 import model_pb2
from leadscore.score.v1 import score_pb2
from leadscore.scorer.v1 import scorer_service_pb2 as scorer

from cli import operations
from services.shared.errors import CallerError, FieldViolation, InvalidRequest, NotFound, Unavailable
from tests.rpc.fake_services import END, Terminal, cells, terminal_at

FILE = """\
# Ours.
rules:
  - name: view
    event_type: page_view
    points: 5
  - name: buy
    event_type: purchase
    condition: event.properties.total > 100.0
    points: 100.5
criteria:
  - name: size
    key: company_size
    bands:
      - {at_least: 0, points: 1, exclusive: true}
"""
WITHOUT_ORDER_OR_SPELLING = """\
{"criteria": [{"bands": [{"exclusive": true, "points": 1.0, "at_least": 0.0}], "key": "company_size", "name": "size",
 "group": "fit"}],
 "score_max": 1000, "rules": [{"event_type": "page_view", "name": "view", "points": 5, "group": "engagement"},
 {"name": "buy", "event_type": "purchase", "points": 100.5, "condition": "event.properties.total > 100.0"}]}
"""


@pytest.fixture
async def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Terminal]:
    monkeypatch.setattr(operations, "LOOK_INTERVAL_S", 0.0)
    async with terminal_at(tmp_path) as found:
        yield found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "ours.yaml"
    path.write_text(FILE)
    return path


def rewrite(path: Path, text: str) -> None:
    path.write_text(text)


def definition() -> model_pb2.ModelDefinition:
    return model_pb2.ModelDefinition(
        rules=[
            model_pb2.Rule(name="view", event_type="page_view", points=5),
            model_pb2.Rule(name="buy", event_type="purchase", points=100.5, condition="event.properties.total > 100.0"),
        ],
        criteria=[
            model_pb2.Criterion(
                name="size", key="company_size", bands=[model_pb2.Band(at_least=0, points=1, exclusive=True)]
            )
        ],
    )


def model(version: int, state: model_pb2.ModelState.ValueType = model_pb2.MODEL_STATE_PUBLISHED) -> model_pb2.Model:
    return model_pb2.Model(version=version, state=state, definition=definition(), comment="as ever", revision=2)


async def test_the_list_says_who_touched_a_version_last(terminal: Terminal) -> None:
    old = model_pb2.Model(version=1, state=model_pb2.MODEL_STATE_PUBLISHED, comment="[first]")
    old.created_at.seconds, old.created_by = 1_700_000_000, "seed"
    old.published_at.seconds, old.published_by = 1_800_000_000, "ops"
    new = model_pb2.Model(version=2, state=model_pb2.MODEL_STATE_DRAFT, created_by="kim")
    new.created_at.CopyFrom(Timestamp(seconds=1_800_000_000))
    answer = scorer.ListModelsResponse(models=[new, old], published_version=1, next_page_token="x")
    terminal.services.answers["ListModels"] = answer
    shown = await terminal.run("model", "list", "-n", "2", "--tenant", "acme")
    assert cells(shown) == [
        ["2", "draft", "", "kim", "2027-01-15 08:00:00"],
        ["1", "published", "[first]", "ops", "2027-01-15 08:00:00"],
    ]
    assert "there are more" in shown.stdout
    assert terminal.services.requests == [scorer.ListModelsRequest(page_size=2)]
    assert terminal.services.metadata["x-tenant-id"] == "acme"
    assert json.loads((await terminal.run("model", "list", "--json")).stdout)["publishedVersion"] == 1


async def test_pull_writes_what_push_reads(terminal: Terminal, tmp_path: Path) -> None:
    terminal.services.answers["GetModel"] = model(3)
    shown = await terminal.run("model", "pull")
    assert shown.stdout.splitlines()[0] == "# The scoring model of leadscore, version 3 (published): as ever"
    assert terminal.services.requests == [scorer.GetModelRequest(version=0)]
    for name in ("pulled.yaml", "pulled.json"):
        path = tmp_path / name
        said = await terminal.run("model", "pull", "3", "-o", str(path))
        assert (said.stdout, said.stderr) == ("", f"version 3 (published) is in {path}\n")
        await terminal.run("model", "push", str(path))
        assert terminal.services.requests[-1].definition == definition()
    assert json.loads(path.read_text())["rules"][0] == {"name": "view", "event_type": "page_view", "points": 5}
    assert (await terminal.run("model", "pull", "--format", "json")).stdout == path.read_text()


async def test_pull_says_when_it_cannot_write(terminal: Terminal, tmp_path: Path) -> None:
    terminal.services.answers["GetModel"] = model(3)
    shown = await terminal.run("model", "pull", "-o", str(tmp_path / "nowhere" / "a.yaml"))
    assert (shown.exit_code, "cannot be written: No such file" in shown.stderr) == (1, True)
    terminal.services.answers["GetModel"] = NotFound("there is no version 9")
    assert (await terminal.run("model", "pull", "9")).stderr == "Error: there is no version 9\n"


async def test_push_makes_a_draft_and_says_its_version(terminal: Terminal, file: Path) -> None:
    terminal.services.answers["CreateDraft"] = model(4, model_pb2.MODEL_STATE_DRAFT)
    shown = await terminal.run("model", "push", str(file), "--comment", "spring")
    assert shown.stdout.startswith("version 4 is a draft at revision 2;")
    expected = scorer.CreateDraftRequest(definition=definition(), comment="spring")
    assert terminal.services.requests == [expected]
    assert json.loads((await terminal.run("model", "push", str(file), "--json")).stdout)["version"] == 4


async def test_push_edits_a_draft(terminal: Terminal, file: Path) -> None:
    terminal.services.answers["UpdateDraft"] = model(4, model_pb2.MODEL_STATE_DRAFT)
    assert (await terminal.run("model", "push", str(file), "--draft", "4")).exit_code == 0
    assert (await terminal.run("model", "push", str(file), "--draft", "4", "--revision", "2")).exit_code == 0
    expected = [scorer.UpdateDraftRequest(version=4, definition=definition(), revision=each) for each in (0, 2)]
    assert terminal.services.requests == expected


async def test_a_pulled_draft_says_its_revision(terminal: Terminal) -> None:
    terminal.services.answers["GetModel"] = model(4, model_pb2.MODEL_STATE_DRAFT)
    shown = await terminal.run("model", "pull", "4")
    assert "version 4 (draft, revision 2): as ever" in shown.stdout.splitlines()[0]


@pytest.mark.parametrize("option", [[], ["--draft", "4"]])
async def test_what_the_suite_refuses_of_a_file_is_listed_with_fields_and_lines(
    terminal: Terminal, file: Path, option: list[str]
) -> None:
    refusal = InvalidRequest(
        [
            FieldViolation("definition.rules[1].condition", "the condition of rule 'buy': line 1, column 7: no"),
            FieldViolation("definition.criteria[0].bands[0].points", "too much"),
            FieldViolation("definition.fit_groups[0].name", "holds nothing"),
            FieldViolation("comment", "too long"),
        ]
    )
    terminal.services.answers |= {"CreateDraft": refusal, "UpdateDraft": refusal}
    shown = await terminal.run("model", "push", str(file), "--publish", *option)
    assert shown.exit_code == 1
    assert shown.stderr.splitlines() == [
        f"Error: {file} is refused, 4 faults:",
        "  rules[1].condition (line 8): the condition of rule 'buy': line 1, column 7: no",
        "  criteria[0].bands[0].points (line 14): too much",
        "  fit_groups[0].name: holds nothing",
        "  comment: too long",
    ]
    assert len(terminal.services.requests) == 1, "nothing was published"
    programs = await terminal.run("model", "push", str(file), "--json", *option)
    assert (programs.exit_code, programs.stderr) == (1, "")
    assert json.loads(programs.stdout)["faults"][0]["line"] == 8


async def test_a_file_with_faults_is_not_sent(terminal: Terminal, file: Path) -> None:
    rewrite(file, "rules:\n  - {name: a, event_type: b, pionts: 5}\nfit_max: many\n")
    shown = await terminal.run("model", "push", str(file))
    assert shown.stderr.splitlines()[1:] == [
        "  rules[0].pionts (line 2): there is no such field; is 'points' meant?",
        "  fit_max (line 3): must be a whole number of at most 2147483647, not 'many'",
    ]
    assert (shown.exit_code, terminal.services.requests) == (1, [])


@pytest.mark.parametrize(("failure", "said"), [(Unavailable("away"), "away"), (NotFound("no 4"), "no 4")])
async def test_other_failures_of_a_push_are_one_sentence(
    terminal: Terminal, file: Path, failure: CallerError, said: str
) -> None:
    terminal.services.answers["UpdateDraft"] = failure
    shown = await terminal.run("model", "push", str(file), "--draft", "4")
    assert (shown.exit_code, shown.stderr) == (1, f"Error: {said}\n")


async def test_push_publishes_the_revision_that_it_made_and_follows_the_rescore(terminal: Terminal, file: Path) -> None:
    terminal.services.answers["CreateDraft"] = model(4, model_pb2.MODEL_STATE_DRAFT)
    begun = scorer.Operation(operation_id=9, state=scorer.OPERATION_STATE_RUNNING, model_version=4, leads_total=2)
    terminal.services.answers["PublishModel"] = scorer.PublishModelResponse(model=model(4), operation=begun)
    done = scorer.Operation(operation_id=9, state=scorer.OPERATION_STATE_DONE, model_version=4, leads_total=2)
    terminal.services.answers["GetOperation"] = done
    shown = await terminal.run("model", "push", str(file), "--publish", "--rescore")
    assert shown.stdout.splitlines() == [
        "version 4 is published; all leads are scored anew",
        "operation 9, model 4: done, 0 of 2 leads, 0 scores changed",
    ]
    assert terminal.services.requests[1] == scorer.PublishModelRequest(version=4, revision=2, rescore=True)
    programs = await terminal.run("model", "push", str(file), "--publish", "--rescore", "--json")
    assert json.loads(programs.stdout)["state"] == "OPERATION_STATE_DONE"


async def test_publish_without_a_rescore_says_what_follows(terminal: Terminal) -> None:
    terminal.services.answers["PublishModel"] = scorer.PublishModelResponse(model=model(4))
    shown = await terminal.run("model", "publish", "4")
    assert shown.stdout == "version 4 is published; each lead goes over to it with its next fact\n"
    assert terminal.services.requests == [scorer.PublishModelRequest(version=4)]
    programs = await terminal.run("model", "publish", "4", "--json")
    assert json.loads(programs.stdout)["model"]["version"] == 4


async def test_delete_throws_a_draft_away(terminal: Terminal) -> None:
    assert (await terminal.run("model", "delete", "4")).stdout == "draft 4 is gone\n"
    assert (await terminal.run("model", "delete", "4", "--json")).stdout.strip() == "{}"
    assert terminal.services.requests[0] == scorer.DeleteDraftRequest(version=4)


async def test_validate_lists_all_faults_or_says_that_there_are_none(terminal: Terminal, file: Path) -> None:
    assert (await terminal.run("model", "validate", str(file))).stdout == f"{file} is good; rules: 2, criteria: 1\n"
    assert json.loads((await terminal.run("model", "validate", str(file), "--json")).stdout) == {"faults": []}
    fault = scorer.ModelFault(field="rules[0].name", description="there is a rule 'view' already")
    terminal.services.answers["ValidateModel"] = scorer.ValidateModelResponse(faults=[fault])
    shown = await terminal.run("model", "validate", str(file))
    assert shown.exit_code == 1
    assert "  rules[0].name (line 3): there is a rule 'view' already\n" in shown.stderr
    terminal.services.answers["ValidateModel"] = InvalidRequest([FieldViolation("definition.rules[1].name", "empty")])
    shown = await terminal.run("model", "validate", str(file))
    assert (shown.exit_code, "rules[1].name (line 6): empty" in shown.stderr) == (1, True)


async def test_order_and_spelling_make_no_difference(terminal: Terminal, file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text(WITHOUT_ORDER_OR_SPELLING)
    terminal.services.answers["GetModel"] = model(3)
    for models in ([str(file), str(other)], [str(other)], ["3", str(file)], ["0", "3"]):
        shown = await terminal.run("model", "diff", *models)
        assert (shown.exit_code, shown.stdout) == (0, ""), models


async def test_a_difference_is_shown_from_the_published_version_to_the_file(terminal: Terminal, file: Path) -> None:
    terminal.services.answers["GetModel"] = model(3)
    rewrite(file, FILE.replace("points: 5", "points: 7"))
    shown = await terminal.run("model", "diff", str(file))
    lines = shown.stdout.splitlines()
    assert shown.exit_code == 1
    assert lines[:2] == ["--- version 3 (published)", f"+++ {file}"]
    assert [line.strip() for line in lines if line.startswith(("-  ", "+  "))] == ["-    points: 5", "+    points: 7"]
    assert terminal.services.requests == [scorer.GetModelRequest(version=0)]


@pytest.mark.parametrize("models", [[], ["1", "2", "3"], ["nowhere.yaml"], ["9"]])
async def test_what_cannot_be_compared_is_neither_the_same_nor_different(terminal: Terminal, models: list[str]) -> None:
    terminal.services.answers["GetModel"] = NotFound("there is no version 9")
    assert (await terminal.run("model", "diff", *models)).exit_code == 2


def report() -> scorer.SimulationReport:
    contributions = [score_pb2.Contribution(rule=f"rule [{points}]", points=points) for points in (1, -2, 3, 4, 5, 40)]
    riser = scorer.Mover(
        lead_id="ada [x]",
        score_before=10,
        score_after=61,
        grade_before="D3",
        grade_after="D2",
        contributions=contributions,
    )
    faller = scorer.Mover(lead_id="bob", score_before=10, score_after=5, grade_before="D3", grade_after="D3")
    return scorer.SimulationReport(
        version=4,
        leads=3000,
        up=2,
        down=1,
        average_before=10,
        average_after=25.333,
        scores=[scorer.ScoreBucket(from_score=0, before=3, after=2), scorer.ScoreBucket(from_score=50, after=1)],
        grades=[scorer.GradeCount(grade="D2", after=1, entering=1), scorer.GradeCount(grade="D3", before=3, after=2)],
        moves=[scorer.GradeMove(before="D3", after="D2", leads=1, lead_ids=["ada [x]", "b", "c", "d"])],
        risers=[riser],
        fallers=[faller],
    )


async def test_a_simulation_shows_how_scores_move_and_why(terminal: Terminal) -> None:
    for message in (
        scorer.SimulateResponse(leads_total=3),
        scorer.SimulateResponse(leads_done=3, leads_total=3, report=report()),
        END,
    ):
        terminal.services.updates.put_nowait(message)
    shown = await terminal.run("model", "simulate", "4", "--movers", "5")
    assert shown.stdout.splitlines()[0] == (
        "version 4: 3,000 leads, 2 would rise, 1 would fall, 2,997 would stay; average 10.0 → 25.3 points"
    )
    rows = cells(shown)
    assert ["0-49", "3", "2", "-1", "█" * 20] in rows
    assert ["D2", "0", "1", "1", "0"] in rows
    assert ["D3", "D2", "1", "ada [x], b, c"] in rows
    why = "rule [40] +40, rule [5] +5, rule [4] +4, rule [3] +3, rule [-2] -2, 1 others +1"
    assert ["ada [x]", "10 → 61", "+51", "D3 → D2", why] in rows
    assert ["bob", "10 → 5", "-5", "D3", ""] in rows
    assert terminal.services.requests == [scorer.SimulateRequest(version=4, movers=5, bucket_points=50)]
    assert terminal.services.deadline_s is None, "the history may be long"


async def test_a_simulation_is_json_for_programs(terminal: Terminal) -> None:
    terminal.services.updates.put_nowait(scorer.SimulateResponse(report=report()))
    shown = await terminal.run("model", "simulate", "4", "--json")
    assert json.loads(shown.stdout)["moves"][0]["leadIds"][3] == "d"


@pytest.mark.parametrize(
    ("ending", "sentence"),
    [(END, "ended without a report"), (NotFound("there is no version 4"), "there is no version 4")],
)
async def test_a_simulation_without_a_report_is_a_failure(terminal: Terminal, ending: object, sentence: str) -> None:
    terminal.services.updates.put_nowait(scorer.SimulateResponse(leads_total=3))
    terminal.services.updates.put_nowait(ending)
    shown = await terminal.run("model", "simulate", "4")
    assert (shown.exit_code, sentence in shown.stderr) == (1, True)


async def test_a_rule_is_tried_on_an_event(terminal: Terminal, file: Path, tmp_path: Path) -> None:
    answer = scorer.TestRuleResponse(matches=True, points=100.5, explanation="the condition is fulfilled")
    terminal.services.answers["TestRule"] = answer
    event = {"type": "purchase", "properties": {"total": 120}}
    shown = await terminal.run("model", "test", str(file), "--rule", "buy", "--event", json.dumps(event))
    assert (shown.exit_code, shown.stdout) == (0, "+100.5 points: the condition is fulfilled\n")
    expected = scorer.TestRuleRequest(rule=definition().rules[1], event=event_pb2.Event(type="purchase"))
    expected.event.properties.update({"total": 120})
    assert terminal.services.requests == [expected]
    (tmp_path / "event.json").write_text(json.dumps(event))
    await terminal.run("model", "test", str(file), "--rule", "buy", "--event", f"@{tmp_path / 'event.json'}")
    assert terminal.services.requests == [expected, expected]


async def test_a_criterion_that_does_not_match_is_no_success(terminal: Terminal, file: Path) -> None:
    terminal.services.answers["TestRule"] = scorer.TestRuleResponse(explanation="company_size is not known")
    asked = ("model", "test", str(file), "--criterion", "size", "--profile", "{}")
    shown = await terminal.run(*asked)
    assert (shown.exit_code, shown.stdout) == (1, "does not match: company_size is not known\n")
    assert terminal.services.requests[0].WhichOneof("tested") == "criterion"
    programs = await terminal.run(*asked, "--json")
    assert (programs.exit_code, json.loads(programs.stdout)["matches"]) == (1, False)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "name a --rule and an --event, or a --criterion and a --profile"),
        (["--rule", "buy", "--profile", "{}"], "name a --rule and an --event"),
        (["--rule", "buy", "--event", "{}", "--criterion", "size"], "name a --rule and an --event"),
        (["--rule", "sell", "--event", "{}"], "the file has no rule 'sell'; there are view, buy"),
        (["--criterion", "age", "--profile", "{}"], "the file has no criterion 'age'; there are size"),
        (["--rule", "buy", "--event", '{"tpye": "a"}'], 'no field named "tpye"'),
        (["--rule", "buy", "--event", "{"], "holds no JSON"),
        (["--rule", "buy", "--event", "[]"], "holds no JSON object"),
        (["--rule", "buy", "--event", "@/nonexistent"], "/nonexistent cannot be read"),
    ],
)
async def test_what_cannot_be_tried_is_not_sent(
    terminal: Terminal, file: Path, options: list[str], sentence: str
) -> None:
    shown = await terminal.run("model", "test", str(file), *options)
    assert sentence in shown.stderr
    assert shown.exit_code > 0
    assert terminal.services.requests == []


async def test_faults_of_what_is_tried_are_named_by_their_place_in_the_file(terminal: Terminal, file: Path) -> None:
    faults = [FieldViolation("rule.condition", "does not compile"), FieldViolation("event.type", "is empty")]
    terminal.services.answers["TestRule"] = InvalidRequest(faults)
    shown = await terminal.run("model", "test", str(file), "--rule", "buy", "--event", "{}")
    assert shown.stderr.splitlines()[1:] == [
        "  rules[1].condition (line 8): does not compile",
        "  event.type: is empty",
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["push", "FILE", "--rescore"],
        ["push", "FILE", "--revision", "2"],
        ["publish", "0"],
        ["simulate", "4", "--movers", "0"],
    ],
)
async def test_options_that_make_no_sense_are_refused(terminal: Terminal, file: Path, arguments: list[str]) -> None:
    arguments = [str(file) if each == "FILE" else each for each in arguments]
    shown = await terminal.run("model", *arguments)
    assert (shown.exit_code, terminal.services.requests) == (2, [])


async def test_the_commands_are_listed_without_being_imported(terminal: Terminal) -> None:
    shown = await terminal.run("model", "--help")
    assert "simulate" in shown.stdout
    assert "No such command 'pusch'" in (await terminal.run("model", "pusch")).stderr
