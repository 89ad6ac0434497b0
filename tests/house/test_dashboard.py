"""The dashboard's parts fit together, and keep to what its content security policy and its users need."""

import re
from pathlib import Path

from buf.validate import validate_pb2
from leadscore.ingest.v1 import ingest_service_pb2 as ingest

from gateway.pages import DASHBOARD, PARTS
from gateway.routes import ROUTED, routes_of

SCRIPT = "\n".join((DASHBOARD / part).read_text(encoding="utf-8") for part in PARTS["app.js"])
PAGE = (DASHBOARD / "index.html").read_text(encoding="utf-8")


def test_every_script_is_served() -> None:
    assert {path.name for path in Path(DASHBOARD).glob("*.js")} == {*PARTS["app.js"], "docs.js"}


def test_every_element_that_the_script_asks_for_is_on_the_page_once() -> None:
    ids = re.findall(r'\bid="([\w-]+)"', PAGE)
    assert len(ids) == len(set(ids))
    asked = re.findall(r'(?:byId|say|put|fillBars|fillMovers|fillField)\("([\w-]+)"', SCRIPT)
    assert asked
    assert set(asked) <= set(ids)
    panels = re.findall(r"^  async (\w+)\(", SCRIPT, re.MULTILINE)
    assert {f"{panel}-problem" for panel in panels} <= set(ids)


def test_every_field_has_a_label_and_every_section_a_title() -> None:
    for field in re.findall(r'<(?:input|select|textarea) id="([\w-]+)"', PAGE):
        assert f'<label for="{field}">' in PAGE, field
    for title in re.findall(r'aria-labelledby="([\w-]+)"', PAGE):
        assert f'id="{title}"' in PAGE, title


def test_what_leads_are_called_never_becomes_markup_and_no_style_is_inline() -> None:
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", '"style"'):
        assert forbidden not in SCRIPT, forbidden
    assert not re.search(r"\sstyle=|\son\w+=", PAGE)


def test_a_field_takes_as_much_as_its_call() -> None:
    for field, request, name in (("owner", ingest.AssignLeadRequest, "owner"), ("note", ingest.AddNoteRequest, "text")):
        rules = request.DESCRIPTOR.fields_by_name[name].GetOptions().Extensions[validate_pb2.field]
        (maximum,) = re.findall(rf'id="{field}"[^>]* maxlength="(\d+)"', PAGE)
        assert int(maximum) == rules.string.max_len, field


def test_what_the_page_tells_about_a_lead_has_a_call() -> None:
    told = re.findall(r'tell\("([A-Z]+)", "(\w+)"', SCRIPT)
    assert {part for _, part in told} == {"owner", "status", "notes"}
    calls = {(route.verb.upper(), route.template.text) for route in routes_of(ROUTED)}
    assert {(verb, f"/v1/leads/{{lead_id}}/{part}") for verb, part in told} <= calls
