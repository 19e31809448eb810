"""Print requests that can be pasted once the demo server says that it is ready."""

import argparse
import json
import shlex
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
TEXT = "Marie Curie was born in Warsaw in 1867 and taught at the University of Paris from 1906."


def of_real_models(url: str) -> str:
    """Return what to do where the real models are served."""
    return f"""\
and press "Find entities": the page has an address to Congress of 1898. Put in any English text of your own. Or paste
this into another terminal:

  {_post(url, "ner")} -d {_body({"text": TEXT})}

Ask which section of which document in a folder of yours (.txt, .md) is about something:

  .venv/bin/python examples/search.py FOLDER QUESTION --url {url}

Questions are answered by demo-qa, which knows generated reports alone. For others: "What they cannot do" in
docs/real_models.md."""


def of_synthetic_models(url: str) -> str:
    """Return what to do where the synthetic models are served."""
    long, short = (EXAMPLES / "requests" / f"qa-{name}.json" for name in ("financial", "short"))
    config = json.loads((EXAMPLES / "checkpoints" / "demo-qa" / "config.json").read_text(encoding="utf-8"))
    question = json.loads(long.read_text(encoding="utf-8"))["question"]
    return f"""\
and press "Ask": the page has a report of 10,000 tokens and a question about it. Or paste one of these into another
terminal. A question about a report of 4,000 tokens, "{question}", answered some 2,900
tokens in:

  {_post(url, "qa")} -d @{shlex.quote(str(long))}

and one about a short text:

  {_post(url, "qa")} -d {_body(json.loads(short.read_text(encoding="utf-8")))}

{config["bigbird_serve_note"]}
For texts of your own: "Your own checkpoint" in README.md."""


def _post(url: str, task: str) -> str:
    return f"curl -s {url}/{task} -H 'Content-Type: application/json'"


def _body(value: object) -> str:
    return shlex.quote(json.dumps(value, ensure_ascii=False))


def main() -> None:
    """Print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--real", action="store_true", help="for the real models")
    arguments = parser.parse_args()
    url = f"http://{arguments.host}:{arguments.port}"
    asks = of_real_models(url) if arguments.real else of_synthetic_models(url)
    print(f"""
When the line "ready" appears, open

  {url}/

{asks}

The API: {url}/docs    Stop with Ctrl-C.
""")


if __name__ == "__main__":
    main()
