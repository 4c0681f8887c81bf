"""Where a report is written: told without torch, before the work."""

from pathlib import Path

from nucleate._core.arguments import as_path

_PAGES = (".html", ".htm")


def page_of(out: Path | str) -> Path:
    """The file that `out` means: itself, or `report.html` in it where it is a folder."""
    out = as_path("out", out)
    return out if out.suffix.lower() in _PAGES and not out.is_dir() else out / "report.html"
