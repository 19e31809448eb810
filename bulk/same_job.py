"""Whether the job that a command goes on with is the one that it asks for: inputs, model, options and version."""

import json
from collections.abc import Mapping
from typing import Any

from bulk.errors import JobError


def refuse_another(output: str, before: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Check that what is asked for now is the job that was begun.

    Args:
        output: Of the job.
        before: What was asked for when it was begun.
        asked: What is asked for now.

    Raises:
        JobError: They are not the same.
    """
    changed = [name for name in {**before, **asked} if before.get(name) != asked.get(name)]
    if changed:
        told = "; ".join(f"{name} was {_short(before.get(name))} and is {_short(asked.get(name))}" for name in changed)
        raise JobError(
            f"{output} was begun with something else: {told}. Run it as it was begun, name another --output, "
            "or begin again with --restart, which deletes its rows"
        )


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
