"""The clients that the tests run, and their versions: what `docs/dialects.md` says they are tested with."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_INSTALLED = ("huggingface_hub", "openai", "requests")
PYTHON = {"tritonclient": "2.73.0", "kserve": "0.21.0", "openapi-python-client": "0.29.1"}
"""Installed by the tests into an environment of their own."""
NODE = {"@huggingface/inference": "4.13.30", "openapi-typescript": "7.13.0", "typescript": "5.9.3"}
"""Installed by the tests from npm."""


def versions_tested() -> dict[str, str]:
    """Return the version of each client."""
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([^=\s]+)==(\S+)$", constraints, re.MULTILINE))
    return {name: pinned[name.replace("_", "-")] for name in _INSTALLED} | PYTHON | NODE
