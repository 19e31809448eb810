"""pyarrow, which only jobs with Parquet need."""

from types import ModuleType

from bigbird_inference.extras import install_command
from bulk.errors import JobError


def pyarrow_parquet() -> tuple[ModuleType, type[Exception]]:
    """Return the module `pyarrow.parquet` and the base of pyarrow's errors.

    Raises:
        JobError: It is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise JobError(f"Parquet needs the package {error.name!r}: {install_command('parquet')}") from error
    return pyarrow.parquet, pyarrow.ArrowException
