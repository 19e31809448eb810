"""What is known of a device while it serves."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeviceState:
    """One device of the scheduler.

    Attributes:
        name: For example `cpu` or `cuda:0`.
        alive: Whether the thread that runs its batches lives.
        stuck: Whether its run takes so much longer than predicted that it may never end.
    """

    name: str
    alive: bool
    stuck: bool

    @property
    def usable(self) -> bool:
        """Whether it can be given work."""
        return self.alive and not self.stuck
