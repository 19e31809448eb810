"""The page of fields is what the tasks declare."""

from scripts.write_task_fields import PAGE, page


def test_fields_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m scripts.write_task_fields"
