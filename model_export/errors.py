"""Errors of the export stage: each is one clear message for the person who runs `bigbird export`."""


class ExportError(Exception):
    """An export cannot be done; nothing was left behind. The message names the field, file or bucket."""


class ConfigError(ExportError):
    """A configuration that this model cannot be built from; the message begins with the field's name."""


class CheckpointError(ExportError):
    """A checkpoint folder that cannot be read; the message names the file and lists every mismatch."""
