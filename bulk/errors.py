"""What ends a job, and what is wrong with a single row of it."""


class JobError(Exception):
    """The job ends here; nothing that was finished is lost.

    Args:
        message: One line that ends with what to do.
    """


class RowError(Exception):
    """A row that has no answer; the job goes on, and the message becomes the row's `error`."""
