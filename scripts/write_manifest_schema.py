"""Write `service/manifest.schema.json` from the dataclasses in `service/bundle.py`."""

import json
from pathlib import Path

from service.bundle import manifest_schema

path = Path(__file__).parents[1] / "service" / "manifest.schema.json"
path.write_text(json.dumps(manifest_schema(), indent=2) + "\n", encoding="utf-8")
print(f"wrote {path}")
