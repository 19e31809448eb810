"""Our sessions without a server around them, opened by the service's own code."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from service.bundle import Bundle, read_manifest
from service.loading import choose_devices, device_openers
from service.runtime.session import CapturingSession, Session
from service.settings import load_settings


class OurDevice:
    """A device as one server has it: all that is opened on it shares its arena.

    Args:
        device: Its name, as the service's setting has it.
        most_tokens: Padded tokens in the largest batch that will be run.
    """

    def __init__(self, device: str, most_tokens: int) -> None:
        settings = load_settings(device=device, max_batch_items=most_tokens, max_batch_tokens=most_tokens)
        (self._open,) = device_openers(settings, choose_devices(settings), weights_bytes=0)

    def open(self, folder: Path, lengths: Sequence[int] | None = None) -> dict[int, Session]:
        """Return the sessions of a bundle by padded length.

        Args:
            folder: The bundle.
            lengths: Which of its buckets; None for all. The edge of full attention comes with longer ones.
        """
        manifest = read_manifest(folder)
        if lengths is not None:
            edge = max(bucket.length for bucket in manifest.buckets if bucket.attention == "full")
            wanted = {*lengths, edge} if max(lengths) > edge else set(lengths)
            buckets = [bucket for bucket in manifest.buckets if bucket.length in wanted]
            manifest = replace(manifest, buckets=buckets, max_length=max(wanted))
        return dict(self._open(Bundle(folder.resolve(), manifest)))


def open_buckets(folder: Path, device: str, most_tokens: int) -> dict[int, Session]:
    """Return the sessions of a bundle on a device of their own."""
    return OurDevice(device, most_tokens).open(folder)


def record(session: Session, documents: Sequence[int]) -> list[int]:
    """Let a session record numbers of documents as the service does at start, and return those that it keeps."""
    if not isinstance(session, CapturingSession):
        return []
    session.capture(sorted(documents))
    return list(session.drop_wrong_captures())
