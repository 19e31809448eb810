"""OpenVINO without its telemetry: imported here and nowhere else.

The package brings another one that reports its use. OpenVINO does without if that cannot be imported, so it is made
impossible before the first import; other processes that are started from this one come through here, too.

It is an extra: whoever imports this module knows that it is there (`installed`).
"""

import importlib
import importlib.util
import sys
from importlib import metadata
from typing import Any

_PACKAGE = "openvino"
_TELEMETRY = "openvino_telemetry"


def installed() -> bool:
    """Tell whether OpenVINO is installed; nothing is imported."""
    return importlib.util.find_spec(_PACKAGE) is not None


def version() -> str:
    """Return the version that is installed."""
    return metadata.version(_PACKAGE)


def imported() -> Any:
    """Return the package, imported without its telemetry."""
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    return importlib.import_module(_PACKAGE)
