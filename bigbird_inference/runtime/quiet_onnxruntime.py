"""onnxruntime without its telemetry: imported here and nowhere else, because it looks at the switch when imported.

Left alone, onnxruntime 1.31 looks up a host of its vendor and keeps files under the user's home that describe the
machine and the models. The variable stops both, also in processes that are started from this one; the call is for
builds that know it alone.

On many machines, onnxruntime 1.23 and later print a coloured warning when imported, about display devices that it does
not know. Nothing can be said to it before, so standard error is closed to it meanwhile.
"""

import contextlib
import os
from collections.abc import Iterator

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

_STANDARD_ERROR = 2


@contextlib.contextmanager
def _native_output_discarded() -> Iterator[None]:
    try:
        given = os.dup(_STANDARD_ERROR)
    except OSError:  # the process was started without it
        yield
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, _STANDARD_ERROR)
    os.close(nothing)
    try:
        yield
    finally:
        os.dup2(given, _STANDARD_ERROR)
        os.close(given)


with _native_output_discarded():
    import onnxruntime as onnxruntime

onnxruntime.disable_telemetry_events()
