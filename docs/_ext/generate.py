"""Writes the reference out of the code before Sphinx reads the pages, so it can't say anything else.

Each module of ``reference_pages`` turns one part of the code into one Markdown page below
``docs/reference/generated/``. A page that hasn't changed isn't written again, so a second build stays quick.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from reference_pages import api, cli, errors, kubernetes, reasons, settings, shapes

PAGES: Final[dict[str, Callable[[], str]]] = {
    "api.md": api.page,
    "cli.md": cli.page,
    "errors.md": errors.page,
    "json.md": shapes.page,
    "kubernetes.md": kubernetes.page,
    "reasons.md": reasons.page,
    "settings.md": settings.page,
}


def write_pages(folder: Path) -> None:
    """Write every generated page into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        text = page()
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def setup(app: Any) -> dict[str, Any]:
    """Hook into Sphinx."""
    app.connect("builder-inited", lambda app: write_pages(Path(app.srcdir) / "reference" / "generated"))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
