"""What the OpenAPI description says of a server's own limits: they are settings, so a model class cannot know them.

A text is recognised by the pattern that `service.api.request_schemas.Text` alone has.
"""

from collections.abc import Iterator
from typing import Any

from service.api.request_schemas import VISIBLE_PATTERN
from service.settings import Settings


def describe_limits(schemas: dict[str, Any], settings: Settings) -> None:
    """Tell the longest text and the longest list in every request body that has them."""
    for schema in _within(list(schemas.values())):
        if schema.get("pattern") == VISIBLE_PATTERN:
            schema["maxLength"] = settings.max_characters
        elif schema.get("items", {}).get("pattern") == VISIBLE_PATTERN:
            schema["maxItems"] = min(schema.get("maxItems", settings.max_list_items), settings.max_list_items)


def _within(value: Any) -> Iterator[dict[str, Any]]:
    """Return every object in a JSON value, outer ones first."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _within(part)
