"""A report as data, and its two forms: Markdown, and one HTML file that needs no other."""

import base64
import dataclasses
import html
import importlib.resources
import re
import string
import sys

from markdown_it import MarkdownIt

from skt_tf.utils.files import write_text

# A cell without a value.
NONE = "-"


@dataclasses.dataclass(frozen=True)
class Heading:
    text: str


@dataclasses.dataclass(frozen=True)
class Text:
    """A paragraph; words between backquotes are code."""

    text: str


@dataclasses.dataclass(frozen=True)
class Code:
    text: str
    language: str = ""


@dataclasses.dataclass(frozen=True)
class Bullets:
    items: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Table:
    """Cells as texts; all columns but the first are numbers."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclasses.dataclass(frozen=True)
class Figure:
    """A picture: the name of its file, what it shows, and its content as SVG."""

    file: str
    title: str
    svg: bytes


def bullets(values):
    """{name: value} as `Bullets`; a value may be a list itself."""
    said = {
        name: (", ".join(map(str, value)) or "none") if isinstance(value, list) else value
        for name, value in values.items()
    }
    return Bullets(tuple(f"{name}: {value}" for name, value in said.items()))


def as_typed(text):
    """A text whose signs Markdown would take for its own, so that it shows them; code stays."""
    parts = re.split("(`[^`]*`)", text)
    return "".join(
        part if k % 2 else re.sub(r"[*\\]", r"\\\g<0>", part) for k, part in enumerate(parts)
    )


def percent(share):
    """A share as a cell: in percent, with two digits."""
    return NONE if share is None else f"{100 * share:.2f}"


def markdown(title, blocks):
    """The report as Markdown, which shows each figure from its file beside it."""
    return "\n\n".join([f"# {as_typed(title)}", *map(_as_markdown, blocks)]) + "\n"


def show(title, table):
    """Prints a `Table`."""
    from rich import box, console
    from rich.table import Table as Shown

    def drawn(space):
        shown = Shown(title=title, box=box.SIMPLE_HEAD)
        for number, name in enumerate(table.header):
            name = name.strip().replace(" ", space)
            shown.add_column(name, justify="right" if number else "left", no_wrap=True)
        for row in table.rows:
            shown.add_row(*row)
        return shown, console.Console(width=10_000).measure(shown).maximum

    # A pipe has no width to keep to.
    width = console.Console(width=None if sys.stdout.isatty() else 200).width
    shown, needed = drawn(" ")
    if needed > width:
        shown, needed = drawn("\n")
    print()
    # On a terminal that is narrower still, lines break; a number that is cut would mislead.
    console.Console(width=max(width, needed)).print(shown)


def write(folder, title, blocks):
    """Writes a report as report.md, beside its pictures, and report.html, which holds them."""
    write_text(folder / "report.md", markdown(title, blocks))
    write_text(folder / "report.html", page(title, blocks))


def page(title, blocks):
    """The report as an HTML page: its Markdown, with the figures inside."""
    figures = {block.file: block for block in blocks if isinstance(block, Figure)}
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.renderer.rules |= {
        # Wider than a narrow screen, tables scroll.
        "table_open": lambda *_: '<div class="scrolls" tabindex="0"><table>',
        "table_close": lambda *_: "</table></div>",
        "image": lambda tokens, k, *_: _image(figures[tokens[k].attrs["src"]]),
    }
    body = parser.render(markdown(title, blocks)).replace(" %", "\N{NO-BREAK SPACE}%")
    template = importlib.resources.files("skt_tf.utils").joinpath("report.html").read_text("utf-8")
    return string.Template(template).substitute(title=html.escape(title), body=body)


def _image(figure):
    # An image of its own: its names cannot collide with those of another figure.
    source = "data:image/svg+xml;base64," + base64.b64encode(figure.svg).decode()
    # On a narrow screen it shrinks as far as its letters stay legible, then it scrolls.
    points = float(re.search(rb'width="([0-9.]+)pt"', figure.svg)[1])
    width = f"width: {1.6 * points:.0f}px; min-width: {points:.0f}px"
    return f'<img src="{source}" alt="{html.escape(figure.title)}" style="{width}">'


def _as_markdown(block):
    match block:
        case Heading(text):
            return f"## {as_typed(text)}"
        case Text(text):
            return text
        case Code(text, language):
            return f"```{language}\n{text}\n```"
        case Bullets(items):
            return "\n".join(f"- {as_typed(item)}" for item in items)
        case Table(header, rows):
            lines = [header, ("---", *["---:"] * (len(header) - 1)), *rows]
            lines = [[as_typed(cell).replace("|", r"\|") for cell in line] for line in lines]
            return "\n".join("| " + " | ".join(line) + " |" for line in lines)
        case Figure(file, title):
            return f"![{title}]({file})"
