"""What reading a document may take."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What reading one file may take; beyond it the file is refused.

    Attributes:
        megabytes: Of the file, in units of 1,000,000 bytes.
        pages: That it has.
        seconds: Of the processor; by the clock, four times as long.
        memory_megabytes: Of the process that parses it.
        characters: Of its text.
    """

    megabytes: int = 100
    pages: int = 5000
    seconds: float = 60.0
    memory_megabytes: int = 1024
    characters: int = 16_000_000
