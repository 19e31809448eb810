"""Our sessions without a server around them, opened by the service's own code."""

from collections.abc import Sequence
from pathlib import Path

from bigbird_inference.bundle import Bundle, read_manifest
from bigbird_inference.manifest import Attention
from bigbird_inference.runtime.session import CapturingSession, Session, Shape
from service.models.loading import choose_devices, device_openers
from service.settings import load_settings


class OurDevice:
    """A device as one server has it.

    Args:
        device: Its name, as the service's setting has it.
    """

    def __init__(self, device: str) -> None:
        settings = load_settings(device=device)
        (self._open,) = device_openers(settings, choose_devices(settings))

    def open(self, folder: Path) -> dict[Attention, Session]:
        """Return the sessions of a bundle by their kind of attention."""
        return dict(self._open(Bundle(folder.resolve(), read_manifest(folder))).sessions)


def attention_kinds(folder: Path) -> dict[int, Attention]:
    """Return the kind of attention of every bucket of a bundle, by padded length."""
    return {bucket.length: bucket.attention for bucket in read_manifest(folder).buckets}


def open_buckets(folder: Path, device: str) -> dict[int, Session]:
    """Return what runs each bucket of a bundle, by padded length; buckets of one kind of attention share a session."""
    sessions = OurDevice(device).open(folder)
    return {length: sessions[kind] for length, kind in attention_kinds(folder).items()}


def record(session: Session, shapes: Sequence[Shape]) -> list[Shape]:
    """Let a session record shapes that it has run, as the service does at start, and return those that it keeps."""
    if not isinstance(session, CapturingSession):
        return []
    session.capture(shapes)
    return list(session.drop_wrong_captures())
