"""A file that must be refused, and how."""

from collections.abc import Callable
from pathlib import Path

import pytest

from evaluation.data.source_text import DataError


def refusal(read: Callable[[Path], object], path: Path, content: str | bytes) -> str:
    """Write and read a file; return the message after the folder: it must be one line."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message.removeprefix(f"{path.parent}/")
