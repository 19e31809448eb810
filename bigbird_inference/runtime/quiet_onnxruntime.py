"""onnxruntime without its telemetry: imported here and nowhere else, because it looks at the switch when imported.

Left alone, onnxruntime 1.31 looks up a host of its vendor and keeps files under the user's home that describe the
machine and the models. The variable stops both, also in processes that are started from this one; the call is for
builds that know it alone.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime as onnxruntime

onnxruntime.disable_telemetry_events()
