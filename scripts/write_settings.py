"""Write the table of settings into `docs/settings.md`."""

from pathlib import Path

from service.settings import settings_table

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"
_FIRST_ROW = "| Variable |"


def page() -> str:
    """Return the page with today's settings."""
    text = PAGE.read_text(encoding="utf-8")
    return f"{text[: text.index(_FIRST_ROW)]}{settings_table().strip()}\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
