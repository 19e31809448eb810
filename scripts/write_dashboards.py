"""Write `deploy/grafana/dashboards/`: `python -m scripts.write_dashboards [FOLDER]`.

The JSON is committed because Grafana reads nothing else; it is generated because nobody can review it. Change
`scripts/dashboards` and run this again; a test fails when the two differ.

The library prefers the next model of dashboards, and says so in a DeprecationWarning; the classic one is what files can
be provisioned from in every Grafana that is in use.
"""

import json
import sys
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from scripts.dashboards.batching import batching
from scripts.dashboards.hardware import hardware
from scripts.dashboards.overview import overview

FOLDER = Path(__file__).parents[1] / "deploy" / "grafana" / "dashboards"


def dashboards() -> dict[str, str]:
    """Return the contents of every file by its name."""
    return {
        "overview.json": _json(overview()),
        "batching.json": _json(batching()),
        "models-and-hardware.json": _json(hardware()),
    }


def _json(board: Dashboard) -> str:
    """Return a dashboard's JSON, with keys in order, so that a change of one panel changes few lines."""
    model: dict[str, Any] = json.loads(JSONEncoder().encode(board.build()))
    # A panel's id stands in links to it: numbered within its row, it changes only if the row does.
    row, place = 0, 0
    for panel in model["panels"]:
        row, place = (row + 1, 0) if panel["type"] == "row" else (row, place + 1)
        panel["id"] = 100 * row + place
        if panel["type"] == "table":
            # The library's default, which tables no longer have since Grafana 12.2.
            del panel["options"]["footer"]
    for link in model["links"]:
        # By default links hide in a menu; without it they are at the top.
        del link["placement"]
    for variable in model["templating"]["list"]:
        # The library gives every variable the fields of one that chooses an interval; Grafana's schema does not.
        for field in ("auto", "auto_count", "auto_min"):
            del variable[field]
    return json.dumps(model, sort_keys=True, indent=2, ensure_ascii=False) + "\n"


def main(folder: Path) -> None:
    """Write every dashboard into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in dashboards().items():
        (folder / name).write_text(text, encoding="utf-8")
        print(f"wrote {folder / name}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
