"""A report as one page of PDF: vector text and bars, with the letters of its font that it uses."""

import unicodedata
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from fontTools.ttLib import TTFont
from fpdf import FPDF
from fpdf.enums import XPos, YPos

from services.query.exports.report import Bar, Contents, Place

FONT = "fira"
STYLES = {"": "FiraSans-Regular.ttf", "B": "FiraSans-Bold.ttf"}
"""Fira Sans (SIL Open Font License) has the letters of all languages in Latin, Greek and Cyrillic script. Fonts of all
scripts together would be a hundred times as large.
"""
MARGIN_MM = 15.0
COLUMNS = (("Rank", 12), ("Lead", 48), ("Name", 42), ("Company", 38), ("Grade", 13), ("Score", 13), ("Status", 14))
"""The leaderboard's columns with their widths in mm."""
NUMBERS = ("Rank", "Score")
LINE_MM = 6.0
CHART_MM = (82.0, 72.0)
"""Width and height of a chart."""
GAP_MM = 16.0
BAR_COLOR = (38, 98, 168)
LINE_COLOR = (205, 210, 216)
FAINT_COLOR = (105, 112, 120)
CHARACTERS_MAX = 200
"""Of a text: more would not fit, and names may be of any length."""


def draw(contents: Contents) -> bytes:
    """The page."""
    page = FPDF(format="A4", unit="mm")
    for style in STYLES:
        page.add_font(FONT, style, _file_of(style))
    page.set_creation_date(contents.at)
    page.set_title("Lead report")
    page.set_margins(MARGIN_MM, MARGIN_MM)
    page.set_auto_page_break(False)
    page.add_page()
    _head(page, contents)
    _leaderboard(page, contents.places)
    top, middle = page.get_y() + 8, page.w / 2
    _chart(page, "Leads by score", contents.scores, MARGIN_MM, top)
    _chart(page, "Leads by grade", contents.grades, middle + GAP_MM / 4, top)
    return bytes(page.output())


def _head(page: FPDF, contents: Contents) -> None:
    page.set_font(FONT, "B", 20)
    page.cell(0, 11, "Lead report", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    page.set_font(FONT, "", 10)
    page.set_text_color(*FAINT_COLOR)
    about = f"{contents.tenant_id}  |  {contents.at:%Y-%m-%d %H:%M} UTC  |  {contents.total:,} leads"
    page.cell(0, 7, fitting(about), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    page.set_text_color(0)
    page.ln(3)


def _leaderboard(page: FPDF, places: Sequence[Place]) -> None:
    page.set_draw_color(*LINE_COLOR)
    _line(page, [name for name, _ in COLUMNS], "B")
    for place in places:
        cells = (place.lead_id, place.name, place.company, place.grade, str(place.score), place.status)
        _line(page, [str(place.rank), *cells], "")
    if not places:
        page.cell(0, LINE_MM, "No leads yet.", new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _line(page: FPDF, cells: Sequence[str], style: str) -> None:
    page.set_font(FONT, style, 8.5)
    for (name, width), text in zip(COLUMNS, cells, strict=True):
        align = "R" if name in NUMBERS else "L"
        page.cell(width, LINE_MM, _cut(page, fitting(text), width - 2.5), border="B", align=align)
    page.ln()


def _chart(page: FPDF, title: str, bars: Sequence[Bar], left: float, top: float) -> None:
    width, height = CHART_MM
    page.set_font(FONT, "B", 10)
    page.set_xy(left, top)
    page.cell(width, 6, title)
    if not bars:
        return
    base, room = top + height, height - 16
    slot, highest = width / len(bars), max(bar.leads for bar in bars)
    page.set_fill_color(*BAR_COLOR)
    page.set_font(FONT, "", 6)
    for index, bar in enumerate(bars):
        x, length = left + index * slot, room * max(bar.leads, 0) / max(highest, 1)
        page.rect(x + slot * 0.12, base - length, slot * 0.76, length, style="F")
        page.set_xy(x, base - length - 3.4)
        page.cell(slot, 3, _short(bar.leads), align="C")
        with page.rotation(60, x + slot / 2, base + 1.5):
            label = fitting(bar.label)
            page.text(x + slot / 2 - page.get_string_width(label), base + 2.5, label)
    page.line(left, base, left + width, base)


def fitting(text: str) -> str:
    """A text with what the font has: letters without their accents where only those are missing, else `?`."""
    return "".join(map(_fitting, unicodedata.normalize("NFC", text[:CHARACTERS_MAX])))


def _fitting(letter: str) -> str:
    if not letter.isprintable():
        return " " if letter.isspace() else ""
    for each in (letter, unicodedata.normalize("NFKD", letter)[0]):
        if each in _letters():
            return each
    return "?"


@cache
def _letters() -> frozenset[str]:
    """What the font has letters for, in every style."""
    return frozenset.intersection(*(frozenset(map(chr, TTFont(_file_of(style)).getBestCmap())) for style in STYLES))


def _file_of(style: str) -> str:
    return str(files("fontpkg_fira_sans") / "files" / STYLES[style])


def _cut(page: FPDF, text: str, width: float) -> str:
    """As much of a text as there is room for."""
    if page.get_string_width(text) <= width:
        return text
    while text and page.get_string_width(text + "...") > width:
        text = text[:-1]
    return text + "..."


def _short(number: int) -> str:
    """A number in few characters."""
    for size, letter in ((1_000_000, "M"), (10_000, "k")):
        if number >= size:
            return f"{number / (size if letter == 'M' else 1_000):.3g}{letter}"
    return str(number) if number else ""
