"""Patterns by the name that stands on the command line and in the manifest."""

from model_export.errors import ExportError
from model_export.patterns.pattern import NoRandomPattern, Pattern, TransformersPattern
from model_export.patterns.seeded import GOOGLE, TRANSFORMERS_TRAIN, ModelGardenPattern

_PATTERNS: tuple[Pattern, ...] = (
    TransformersPattern(),
    TRANSFORMERS_TRAIN,
    GOOGLE,
    ModelGardenPattern(),
    NoRandomPattern(),
)
PATTERNS: dict[str, Pattern] = {pattern.name: pattern for pattern in _PATTERNS}


def get_pattern(name: str) -> Pattern:
    """Return the pattern of that name.

    Raises:
        ExportError: There is none; the message lists those there are.
    """
    try:
        return PATTERNS[name]
    except KeyError:
        raise ExportError(f"pattern: {name!r} is not one of {', '.join(PATTERNS)}") from None
