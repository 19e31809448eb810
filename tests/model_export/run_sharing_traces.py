"""Run one of our modules that exports, as `python -m` does, in a process of its own that traces nothing twice.

    python -m tests.model_export.run_sharing_traces FOLDER_OF_TRACES MODULE [ARGUMENT ...]

Its exports measure nothing in OpenVINO, as those in the tests' own processes.
"""

import runpy
import sys
from pathlib import Path

from tests.cpu_runtimes import exports_without_openvino
from tests.model_export.shared_traces import shared_traces

if __name__ == "__main__":
    folder, *sys.argv = sys.argv[1:]
    with shared_traces(Path(folder)), exports_without_openvino():
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
