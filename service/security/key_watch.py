"""Keys that change while the server runs: whoever gives out a key or takes one back writes the file, and that is all.

The files are looked at every few seconds, so a mounted secret, which its cluster exchanges as a whole, is noticed too.
Files that cannot be used change nothing: the keys of before go on being valid, and the log says why.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from service.security.access import Access, read_access
from service.settings import InvalidSettings, Settings

logger = logging.getLogger(__name__)

_SECONDS = 2.0


class KeyWatch:
    """Keeps the keys of the service as its files have them.

    Args:
        settings: Where the keys are.
        access: Whose keys are replaced.
        on_change: Hears the names of all keys whenever they were.
    """

    def __init__(self, settings: Settings, access: Access, on_change: Callable[[Iterable[str]], None]) -> None:
        self._settings = settings
        self._access = access
        self._on_change = on_change
        self._files = [file for file in (settings.api_keys_file, settings.admin_key_file) if file is not None]
        self._read = self._seen = self._states()

    async def run(self) -> None:
        """Look at the files again and again."""
        while self._files:
            await asyncio.sleep(_SECONDS)
            await asyncio.to_thread(self.look)

    def look(self) -> None:
        """Read the keys if their files have changed, and since the last look have not: nobody is writing them now."""
        before, self._seen = self._seen, self._states()
        if self._seen == self._read or self._seen != before:
            return
        self._read = self._seen
        try:
            keys = read_access(self._settings).keys
        except InvalidSettings as error:
            logger.error("the keys stay as they were: %s", error)
            return
        old, new = {key.name for key in self._access.keys}, {key.name for key in keys}
        self._access.keys = keys
        self._on_change(new)
        logger.info(
            "keys were read again: %d known; added: %s; removed: %s",
            len(new),
            ", ".join(sorted(new - old)) or "none",
            ", ".join(sorted(old - new)) or "none",
        )

    def _states(self) -> list[tuple[int, int, int] | None]:
        return [_state(file) for file in self._files]


def _state(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
