"""The paper as a PDF: fpdf2 sets it, HarfBuzz shapes the Arabic. No tables are read here, so it may run in a thread."""

from pathlib import Path

from fpdf import FPDF, Align
from fpdf.enums import XPos, YPos

from .paper import Paper, Row

FONTS = Path(__file__).resolve().parent / "fonts"
ISOLATE, END_ISOLATE = "\u2068", "\u2069"
INK, SOFT, GREEN = (22, 33, 29), (85, 99, 93), (11, 107, 79)
MARGIN, LINE = 20.0, 6.0
# The four columns of what was sold, in millimetres.
COLUMNS = (78.0, 20.0, 36.0, 36.0)


def invoice_pdf(paper: Paper) -> bytes:
    """Some 0.3 s of work: never on the event loop."""
    return bytes(Sheet(paper).written().output())


class Sheet(FPDF):
    """One page of A4. "Start" is the side where reading starts: left, or right in Arabic."""

    def __init__(self, paper: Paper) -> None:
        super().__init__(format="A4")
        self.paper = paper
        self.start, self.finish = (Align.R, Align.L) if paper.right_to_left else (Align.L, Align.R)
        self.set_margin(MARGIN)
        self.c_margin = 0
        self.add_font("Plex", "", FONTS / "IBMPlexSansArabic-Regular.woff")
        self.add_font("Plex", "B", FONTS / "IBMPlexSansArabic-Bold.woff")
        self.set_text_shaping(
            use_shaping_engine=True, direction="rtl" if paper.right_to_left else "ltr", language=paper.language
        )
        self.set_title(f"{paper.title} {paper.reference}")
        self.set_lang(paper.language)
        self.add_page()

    def written(self) -> "Sheet":
        self.head()
        self.parties()
        self.sold()
        self.totals()
        self.ending()
        return self

    def head(self) -> None:
        self.pen(11, GREEN, bold=True)
        self.cell(0, LINE, "IA Factory", align=self.start, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.pen(24, INK, bold=True)
        self.cell(0, 14, self.paper.title, align=self.start, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(1)
        for label, value in self.paper.facts:
            self.pair(label, value, width=self.epw)
        self.ln(6)

    def parties(self) -> None:
        """Seller and buyer side by side, the seller where reading starts."""
        top, half = self.get_y(), self.epw / 2
        near, far = (MARGIN + half, MARGIN) if self.paper.right_to_left else (MARGIN, MARGIN + half)
        bottoms = [
            self.party(near, top, half - 4, self.paper.seller_title, self.paper.seller),
            self.party(far, top, half - 4, self.paper.buyer_title, self.paper.buyer),
        ]
        self.set_xy(MARGIN, max(bottoms) + 8)

    def party(self, x: float, y: float, width: float, title: str, rows: tuple[Row, ...]) -> float:
        """Writes one of them; where it ends."""
        x += 4 if self.paper.right_to_left else 0
        self.set_xy(x, y)
        self.pen(9, SOFT)
        self.cell(width, LINE, title, align=self.start, new_x=XPos.LEFT, new_y=YPos.NEXT)
        for label, value in rows:
            self.set_x(x)
            self.pen(10, INK, bold=not label)
            # The value keeps its own direction: a street number stays before the French name of its street.
            text = f"{label}: {ISOLATE}{value}{END_ISOLATE}" if label else value
            self.multi_cell(width, 5, text, align=self.start, new_x=XPos.LEFT, new_y=YPos.NEXT)
        return self.get_y()

    def pair(self, label: str, value: str, width: float) -> None:
        """A label and its value, each in a cell of its own, so that neither turns the other's figures round."""
        cells = [(45.0, label, SOFT, False), (width - 45.0, value, INK, True)]
        for wide, text, colour, bold in reversed(cells) if self.paper.right_to_left else cells:
            self.pen(10, colour, bold=bold)
            self.cell(wide, LINE, text, align=self.start)
        self.ln(LINE)

    def sold(self) -> None:
        self.rule()
        self.pen(9, SOFT)
        self.row(self.paper.heads)
        self.rule()
        self.pen(10, INK)
        self.row(self.paper.sold)
        self.rule()
        self.ln(4)

    def row(self, texts: tuple[str, ...]) -> None:
        """Columns from the side where reading starts; the description may take several lines."""
        top, bottom = self.get_y() + 1.5, 0.0
        x = MARGIN + self.epw if self.paper.right_to_left else MARGIN
        for width, text, align in zip(COLUMNS, texts, (self.start, *[self.finish] * 3), strict=True):
            x -= width if self.paper.right_to_left else 0
            self.set_xy(x, top)
            self.multi_cell(width, 5, text, align=align, new_x=XPos.LEFT, new_y=YPos.NEXT)
            bottom = max(bottom, self.get_y())
            x += 0 if self.paper.right_to_left else width
        self.set_xy(MARGIN, bottom + 1.5)

    def totals(self) -> None:
        """Under the amounts, the last one in bold."""
        for label, amount in self.paper.totals:
            last = (label, amount) == self.paper.totals[-1]
            self.pen(12 if last else 10, INK, bold=last)
            cells = [(78.0, "", self.start), (56.0, label, self.start), (36.0, amount, self.finish)]
            for width, text, align in reversed(cells) if self.paper.right_to_left else cells:
                self.cell(width, 7, text, align=align)
            self.ln(7)
        self.ln(6)

    def ending(self) -> None:
        self.pen(10, INK, bold=True)
        self.multi_cell(0, LINE, self.paper.words, align=self.start, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.pen(10, SOFT)
        for note in self.paper.notes:
            self.multi_cell(0, LINE, note, align=self.start, new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def rule(self) -> None:
        self.set_draw_color(222, 220, 212)
        self.line(MARGIN, self.get_y(), MARGIN + self.epw, self.get_y())

    def pen(self, size: float, colour: tuple[int, int, int], *, bold: bool = False) -> None:
        self.set_font("Plex", "B" if bold else "", size)
        self.set_text_color(*colour)
