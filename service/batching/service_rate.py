"""How fast a device works, to tell a refused client when to come back."""

import math

# Weight of the newest batch in the running average: the rate follows a change of traffic within some ten batches.
_NEWEST = 0.2
_UNKNOWN_SECONDS = 1.0
_LONGEST_SECONDS = 60.0


class ServiceRate:
    """Running average of the real tokens per second of a busy device."""

    def __init__(self) -> None:
        self._tokens_per_second: float | None = None

    def record(self, tokens: int, seconds: float) -> None:
        """Take a finished batch into account."""
        measured = tokens / max(seconds, 1e-6)
        average = self._tokens_per_second
        self._tokens_per_second = measured if average is None else average + _NEWEST * (measured - average)

    def seconds_for(self, tokens: int, devices: int = 1) -> float:
        """Return whole seconds, 1 to 60, in which devices work off so many tokens; 1 before the first batch."""
        if self._tokens_per_second is None:
            return _UNKNOWN_SECONDS
        seconds = math.ceil(tokens / (self._tokens_per_second * devices))
        return float(min(max(seconds, _UNKNOWN_SECONDS), _LONGEST_SECONDS))
