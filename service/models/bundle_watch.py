"""Notices that somebody writes into the files of a bundle that is being served.

It looks at their status every few seconds and reads a file again only when that has changed. What it finds is for
`Serving`, which stops answering from such a model before its answers are wrong for long.
"""

from collections.abc import Iterable, Mapping

from bigbird_inference.bundle_files import FileState, same_contents


class BundleWatch:
    """Remembers which files it has read again, so that a file that was only touched is read once."""

    def __init__(self) -> None:
        self._read_again: dict[FileState, bool] = {}

    def damaged(self, models: Mapping[str, Iterable[FileState]]) -> dict[str, str]:
        """Return what was done to the files of each model that lie where they were, by model; blocks.

        A file that was removed, or replaced by another, is no damage: what is served is still the old one.
        """
        found = {name: next(filter(None, map(self._damage, files)), None) for name, files in models.items()}
        return {name: damage for name, damage in found.items() if damage is not None}

    def _damage(self, file: FileState) -> str | None:
        now = file.now()
        if now is None or now == file or (now.device, now.inode) != (file.device, file.inode):
            return None
        if now.bytes != file.bytes:
            return f"{file.path}: was changed while it is served: it had {file.bytes} bytes and has {now.bytes}"
        if now not in self._read_again:
            self._read_again[now] = same_contents(now)
        return None if self._read_again[now] else f"{file.path}: was written to while it is served"
