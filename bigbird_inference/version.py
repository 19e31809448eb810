"""The version that runs, for descriptions, metrics and traces."""

from importlib.metadata import PackageNotFoundError, version


def service_version() -> str:
    """Return the installed version, or `unknown` when run from a checkout that was not installed."""
    try:
        return version("bigbird-serve")
    except PackageNotFoundError:
        return "unknown"
