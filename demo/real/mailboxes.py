"""The bodies of mails."""

import email
import email.policy
import tarfile
from collections.abc import Iterator
from pathlib import Path


def wanted_mails(package: Path) -> Iterator[tuple[str, str]]:
    """Yield names and texts of mails that are not spam."""
    return _bodies(package, ("easy-ham-1", "easy-ham-2", "hard-ham-1"))


def spam(package: Path) -> Iterator[tuple[str, str]]:
    """Yield names and texts of spam."""
    return _bodies(package, ("spam-1", "spam-2"))


def _bodies(file: Path, folders: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    with tarfile.open(file) as package:
        for member in sorted(package.getmembers(), key=lambda member: member.name):
            folder, name = member.name.split("/")[-2:]
            content = package.extractfile(member)
            if folder in folders and name.endswith(".txt") and content is not None:
                text = body(content.read())
                if text is not None:
                    yield f"{folder}/{name}", text


def body(raw: bytes) -> str | None:
    """Return a mail's plain text, None if it has none that can be read."""
    message = email.message_from_bytes(raw, policy=email.policy.default)
    try:
        part = message.get_body(("plain",))
        content = part.get_content() if part is not None else None
    except (LookupError, ValueError, AttributeError):
        # What senders write into headers is beyond what the library foresees.
        return None
    return content.replace("\r\n", "\n") if isinstance(content, str) else None
