"""The pages for users: tests run every command in them, in the order of the pages."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "docs/guide.md")


def text_of_pages() -> str:
    """Return the text of all pages, one after the other."""
    return "\n".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
