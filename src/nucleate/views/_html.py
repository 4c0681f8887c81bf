"""Small pieces of HTML. Whatever is put in as text is escaped; only `Markup` passes as it is."""

import base64
import html
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path

from nucleate.findings import plain

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_LARGEST = 125
"""Pixels that an inch of a figure becomes at most."""


class Markup(str):
    """HTML that this module made."""


def text(value: object) -> Markup:
    """Any value as inert text."""
    return value if isinstance(value, Markup) else Markup(html.escape(plain(value)))


def join(parts: Iterable[object], between: str = "") -> Markup:
    """Pieces one after the other, those that are not `Markup` escaped."""
    return Markup(between.join(text(part) for part in parts))


def tag(name: str, *children: object, **attributes: str) -> Markup:
    """An element; `class_` stands for `class`."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(plain(value))}"'
        for key, value in attributes.items()
    )
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def paragraphs(lines: Iterable[str]) -> Markup:
    """One paragraph a line."""
    return join((tag("p", line) for line in lines), "\n")


def bullets(lines: Iterable[object]) -> Markup:
    """A list."""
    return tag("ul", join((tag("li", line) for line in lines), "\n"))


def table(
    caption: str,
    head: Sequence[object],
    rows: Iterable[Sequence[object]],
    *,
    groups: Sequence[tuple[str, int]] = (),
    heads: int = 1,
    numeric: bool = True,
) -> Markup:
    """A table that scrolls sideways on a narrow screen.

    Args:
        caption: what it holds; read out by screen readers first.
        head: one name a column.
        rows: one value a column; the first `heads` of a row name it.
        groups: a line over the head: (name, number of columns).
        heads: how many columns name the row.
        numeric: right-align the other columns.
    """
    lines = []
    if groups:
        over = (tag("th", name, scope="colgroup", colspan=str(wide)) for name, wide in groups)
        lines.append(tag("tr", *over))
    lines.append(tag("tr", *(tag("th", name, scope="col") for name in head)))
    body = (
        tag(
            "tr",
            *(tag("th", c, scope="row") if i < heads else tag("td", c) for i, c in enumerate(row)),
        )
        for row in rows
    )
    whole = tag(
        "table",
        tag("caption", caption),
        tag("thead", *lines),
        tag("tbody", join(body, "\n")),
        class_="numbers" if numeric else "texts",
    )
    return tag("div", whole, class_="scroll", tabindex="0", role="region", aria_label=caption)


def picture(svg: Path, alt: str, caption: object, width: float) -> Markup:
    """An SVG file as an image inside the page, with a caption below.

    An image is inert: scripts and references inside an SVG do nothing there.
    """
    data = base64.b64encode(svg.read_bytes()).decode()
    image = Markup(
        f'<img src="data:image/svg+xml;base64,{data}" alt="{html.escape(alt)}" '
        f'style="min-width:{min(width, 9.5) * 72:.0f}px;max-width:{width * _LARGEST:.0f}px">'
    )
    frame = tag("div", image, class_="plate", tabindex="0", role="region", aria_label="figure")
    return tag("figure", frame, tag("figcaption", caption) if caption else "")


def section(anchor: str, title: str, *children: object) -> Markup:
    """A part of the page under a second-level heading."""
    return tag("section", tag("h2", title), *children, id=anchor)


def head(title: str, policy: str, style: str, attributes: str = 'lang="en"') -> str:
    """How every page of ours begins, up to its body.

    Args:
        title: of the page.
        policy: what it allows itself.
        style: its whole style sheet.
        attributes: of the root element, as they are written.
    """
    return f"""<!doctype html>
<html {attributes}>
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{text(title)}</title>
<link rel="icon" href="data:,">
<style>
{style}
</style>
</head>
"""


def page(title: str, body: Markup) -> str:
    """A whole file around what stands on the page; it forbids itself scripts and every network."""
    style = (files("nucleate.views") / "page.css").read_text(encoding="utf-8")
    return f"""{head(title, _POLICY, style)}<body>
<main>
{body}
</main>
</body>
</html>
"""
