"""Write `bigbird_inference/manifest.schema.json` from the dataclasses in `bigbird_inference/manifest.py`."""

import json
from pathlib import Path

from bigbird_inference.manifest import manifest_schema

path = Path(__file__).parents[1] / "bigbird_inference" / "manifest.schema.json"
path.write_text(json.dumps(manifest_schema(), indent=2) + "\n", encoding="utf-8")
print(f"wrote {path}")
