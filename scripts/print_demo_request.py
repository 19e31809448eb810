"""Print requests that can be pasted once the demo server says that it is ready."""

import argparse
import json
import shlex
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--host", default="127.0.0.1")
parser.add_argument("--port", type=int, default=8000)
arguments = parser.parse_args()

url = f"http://{arguments.host}:{arguments.port}"
examples = Path(__file__).resolve().parents[1] / "examples"
long_request, short_request = (examples / "requests" / f"qa-{name}.json" for name in ("financial", "short"))
note = json.loads((examples / "checkpoints" / "demo-qa" / "config.json").read_text(encoding="utf-8"))[
    "bigbird_serve_note"
]
question = json.loads(long_request.read_text(encoding="utf-8"))["question"]
body = json.dumps(json.loads(short_request.read_text(encoding="utf-8")), ensure_ascii=False)
post = f"curl -s {url}/qa -H 'Content-Type: application/json'"
print(f"""
When the line "ready" appears, open

  {url}/

and press "Ask": the page has a report of 10,000 tokens and a question about it. Or paste one of these into another
terminal. A question about a report of 4,000 tokens, "{question}", answered some 2,900
tokens in:

  {post} -d @{shlex.quote(str(long_request))}

and one about a short text:

  {post} -d {shlex.quote(body)}

{note}
For texts of your own: "Your own checkpoint" in README.md.

The API: {url}/docs    Stop with Ctrl-C.
""")
