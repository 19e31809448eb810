"""Print a request that can be pasted once the demo server says that it is ready."""

import argparse
import json
import shlex
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--host", default="127.0.0.1")
parser.add_argument("--port", type=int, default=8000)
arguments = parser.parse_args()

url = f"http://{arguments.host}:{arguments.port}"
file = Path(__file__).parents[1] / "examples" / "requests" / "qa-short.json"
body = json.dumps(json.loads(file.read_text(encoding="utf-8")), ensure_ascii=False)
print(f"""
When the line "ready" appears, paste this into another terminal:

  curl -s {url}/qa -H 'Content-Type: application/json' -d {shlex.quote(body)}

Everything else: {url}/docs    Stop with Ctrl-C.
""")
