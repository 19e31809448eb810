"""Why an evaluation cannot be done, as one line for the person who runs it."""


class EvaluationError(Exception):
    """The model cannot be asked, or does not fit the data."""
