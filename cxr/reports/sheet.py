"""The look of a printed report: paper, type, colours and the notice on every page.

It owns how a PDF is set, never what it says; that is `cxr.reports.pdf`, which imports
this module late, because the library takes a quarter of a second to load.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime

import numpy as np
from fpdf import FPDF
from fpdf.enums import TableBordersLayout
from fpdf.fonts import FontFace
from numpy.typing import NDArray
from PIL import Image

from cxr.reports.document import NOTICE

MARGIN = 18.0  # mm
LABEL_WIDTH = 36.0
GAP = 6.0
FONT = "Helvetica"  # every PDF reader has it; it shows Latin-1
TEXT, QUIET, LINE = (30, 34, 40), (98, 104, 112), (205, 209, 214)
PLAIN = str.maketrans(
    {
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
        **dict.fromkeys("\u2018\u2019", "'"),
        **dict.fromkeys("\u201c\u201d", '"'),
        "\u2026": "...",
        "\u2264": "<=",
        "\u2265": ">=",
        "\u0142": "l",
        "\u0141": "L",
    }
)


def shown(text: str) -> str:
    """Returns text that the font can show; unknown letters lose an accent or are "?".

    Line ends and other control characters become spaces.
    """
    letters = (_letter(letter) for letter in text.translate(PLAIN))
    return " ".join("".join(letters).split())


def _letter(letter: str) -> str:
    if unicodedata.category(letter) in ("Cc", "Zs", "Zl", "Zp"):
        return " "
    if ord(letter) < 256:
        return letter
    if unicodedata.combining(letter):
        return ""
    base = unicodedata.normalize("NFKD", letter)[0]
    return base if ord(base) < 256 else "?"


class Sheet(FPDF):
    """A PDF whose every page ends with the notice."""

    def __init__(self, title: str, time: datetime, *, landscape: bool = False) -> None:
        """Opens the first page.

        Args:
            title: of the document.
            time: when it was made, with a time zone.
            landscape: whether the paper lies on its long side.
        """
        super().__init__(orientation="landscape" if landscape else "portrait")
        self.set_creation_date(time)
        self.set_title(title)
        self.set_lang("en")
        self.set_margin(MARGIN)
        self.c_margin = 0
        self.set_auto_page_break(True, margin=MARGIN + 4)
        self.alias_nb_pages()
        self.add_page()
        self.heading(title)

    def footer(self) -> None:
        """Writes the notice and the number of the page; called by the library."""
        self.set_y(-MARGIN + 2)
        self.set_draw_color(*LINE)
        self.line(self.l_margin, self.get_y(), self.w - self.r_margin, self.get_y())
        self._type(8, colour=QUIET)
        self.cell(0, 7, NOTICE)
        self.set_x(self.l_margin)
        self.cell(0, 7, f"{self.page_no()} / {{nb}}", align="R")

    def heading(self, text: str) -> None:
        """Writes the title of the document."""
        self._type(17, bold=True)
        self.multi_cell(0, 9, shown(text), new_x="LMARGIN", new_y="NEXT")

    def line_of(
        self,
        text: str,
        *,
        size: float = 9.5,
        colour: tuple[int, int, int] = QUIET,
        bold: bool = False,
    ) -> None:
        """Writes a paragraph over the whole width.

        Args:
            text: any.
            size: in points.
            colour: red, green, blue.
            bold: whether it is.
        """
        self._type(size, colour=colour, bold=bold)
        self.multi_cell(0, size * 0.5, shown(text), new_x="LMARGIN", new_y="NEXT")

    def part(self, title: str, sentences: Iterable[str]) -> None:
        """Writes the title of a part and the sentences that it begins with."""
        self.ln(5)
        if self.will_page_break(24):
            self.add_page()
        self.line_of(title, size=12.5, colour=TEXT, bold=True)
        self.ln(1)
        for sentence in sentences:
            self.line_of(sentence, colour=TEXT)
            self.ln(0.8)

    def row(self, label: str, sentences: str | Iterable[str]) -> None:
        """Writes a label and, beside it, sentences below each other."""
        lines = [sentences] if isinstance(sentences, str) else list(sentences)
        self._type(9.5)
        width = self.epw - LABEL_WIDTH
        height = 4.9 * len(
            self.multi_cell(
                width, 4.9, shown(lines[0]), dry_run=True, output="LINES", align="L"
            )
        )
        if self.will_page_break(height):
            self.add_page()
        self._type(9.5, colour=QUIET)
        self.cell(LABEL_WIDTH, 4.9, shown(label))
        self._type(9.5)
        for text in lines:
            self.set_x(self.l_margin + LABEL_WIDTH)
            self.multi_cell(
                width, 4.9, shown(text), new_x="LMARGIN", new_y="NEXT", align="L"
            )
        self.ln(1.8)

    def pictures(
        self, pictures: Sequence[tuple[str, NDArray[np.uint8]]], *, height: float
    ) -> None:
        """Sets pictures side by side, each with a caption below it.

        Args:
            pictures: caption and `uint8`, `(h, w)` or `(h, w, 3)` in RGB.
            height: at most, in mm.
        """
        width = (self.epw - GAP * (len(pictures) - 1)) / len(pictures)
        scales = [min(width / p.shape[1], height / p.shape[0]) for _, p in pictures]
        top, x, scale = self.get_y(), self.l_margin, min(scales)
        for caption, picture in pictures:
            size = (picture.shape[1] * scale, picture.shape[0] * scale)
            self.image(Image.fromarray(picture), x, top, *size, alt_text=caption)
            self._type(8, colour=QUIET)
            self.set_xy(x, top + size[1] + 0.5)
            self.cell(size[0], 5, shown(caption))
            x += size[0] + GAP
        highest = max(p.shape[0] for _, p in pictures)
        self.set_xy(self.l_margin, top + highest * scale + 7)

    def scale(
        self,
        value: float,
        *,
        threshold: float,
        band: tuple[float, float],
        colour: tuple[int, int, int],
    ) -> None:
        """Draws a probability on a line from 0 to 1.

        Args:
            value: the probability.
            threshold: a tick with its value below the line.
            band: the zone without an answer, drawn as a bar.
            colour: of the probability.
        """
        left, right = self.l_margin + 5, self.w - self.r_margin - 5
        y, length = self.get_y() + 8, right - left
        self._type(8.5, colour=QUIET)
        self.text(self.l_margin, y + 1, "0")
        self.text(right + 3, y + 1, "1")
        self.set_draw_color(*QUIET)
        self.set_line_width(0.3)
        self.line(left, y, right, y)
        self.set_fill_color(214, 206, 226)
        self.rect(
            left + band[0] * length, y - 1.6, (band[1] - band[0]) * length, 3.2, "F"
        )
        at = left + threshold * length
        self.set_line_width(0.5)
        self.set_draw_color(*TEXT)
        self.line(at, y - 2.6, at, y + 2.6)
        self._centred(f"threshold {figure(threshold)}", at, y + 6.5)
        at = left + value * length
        self.set_fill_color(*colour)
        self.ellipse(at - 1.9, y - 1.9, 3.8, 3.8, "F")
        self._type(10, colour=colour, bold=True)
        self._centred(figure(value), at, y - 4)
        self.set_line_width(0.2)
        self.set_xy(self.l_margin, y + 10)

    def grid(
        self,
        heading: Sequence[str],
        rows: Iterable[Sequence[str]],
        widths: Sequence[int],
    ) -> None:
        """Writes a table; its heading is repeated on every page.

        Args:
            heading: of each column.
            rows: texts of each row.
            widths: of the columns, as shares of their sum.
        """
        self._type(8.5)
        self.set_draw_color(*LINE)
        bold = FontFace(emphasis="BOLD", color=QUIET)
        with self.table(
            col_widths=tuple(widths),
            headings_style=bold,
            line_height=4.4,
            padding=1.2,
            borders_layout=TableBordersLayout.HORIZONTAL_LINES,
            text_align="LEFT",
        ) as table:
            for texts in (heading, *rows):
                row = table.row()
                for text in texts:
                    row.cell(shown(text))

    def _type(
        self,
        size: float,
        *,
        colour: tuple[int, int, int] = TEXT,
        bold: bool = False,
    ) -> None:
        self.set_font(FONT, "B" if bold else "", size)
        self.set_text_color(*colour)

    def _centred(self, text: str, x: float, y: float) -> None:
        """Writes text around a place, but never over the margins."""
        width = self.get_string_width(text)
        most = self.w - self.r_margin - width
        self.text(min(max(x - width / 2, self.l_margin), most), y, text)


def figure(value: float) -> str:
    """Returns a share in two digits, in three near 0 and 1, and never as certainty.

    No probability of a network is known to more digits than that.
    """
    digits = 2 if 0.0995 <= value <= 0.9005 else 3
    text = f"{value:.{digits}f}"
    if float(text) in (0, 1):
        return "< 0.001" if value < 0.5 else "> 0.999"
    return text.removesuffix("0") if digits == 3 else text
