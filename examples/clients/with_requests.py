"""Ask the demo's models with `requests`: `python with_requests.py [ADDRESS]`."""

import os
import sys
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

ADDRESS = (sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000").rstrip("/")
TEXT = (
    "Visitors speak well of Takahashi House, which Diana Bianchi designed. Miareis Station is situated in Casablanca. "
    "Proteins were observed under the microscope."
)

session = requests.Session()
if key := os.environ.get("BIGBIRD_API_KEY"):
    session.headers["Authorization"] = f"Bearer {key}"
# A busy server says in `Retry-After` when to ask again; urllib3 waits that long.
retry = Retry(5, status_forcelist=(429, 503), allowed_methods=("POST",), raise_on_status=False)
for scheme in ("http://", "https://"):
    session.mount(scheme, HTTPAdapter(max_retries=retry))


def ask(task: str, **body: Any) -> Any:
    """Return the answer, or end with what is wrong."""
    answer = session.post(f"{ADDRESS}/{task}", json=body, timeout=300)
    if not answer.ok:
        sys.exit(f"{answer.status_code}: {answer.json()['detail']}")
    return answer.json()


found = ask("qa", question="Where can Miareis Station be found?", context=TEXT)
print(f"{found['answer']} at {found['start']}-{found['end']}, {found['score']:.3f}")
best = ask("classify", text=TEXT, top_k=1)["labels"][0]
print(f"{best['label']}, {best['score']:.3f}")
for entity in ask("ner", text=TEXT)["entities"]:
    print(f"{entity['entity']}: {entity['text']} at {entity['start']}-{entity['end']}")
