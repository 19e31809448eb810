"""How a training ends before its end."""

from model_export.errors import ExportError


class TrainingFailed(ExportError):
    """It cannot go on: what it computes is no number, or there is no memory for it."""


class TrainingStopped(Exception):
    """It was asked to stop by a signal, and has saved its state.

    Attributes:
        signal_number: Which.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number
