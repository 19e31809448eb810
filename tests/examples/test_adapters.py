"""The adapters that `make demo` merges into the encoder that it downloads."""

import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ADAPTERS = sorted((ROOT / "examples" / "adapters").glob("real-*"))
MOST_BYTES = {"real-topics": 300_000}
MOST_BYTES_OTHERWISE = 4_000_000


@pytest.mark.parametrize("folder", ADAPTERS, ids=[folder.name for folder in ADAPTERS])
def test_an_adapter_is_small_and_has_labels_and_a_card(folder: Path) -> None:
    assert sum(file.stat().st_size for file in folder.iterdir()) < MOST_BYTES.get(folder.name, MOST_BYTES_OTHERWISE)
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"].endswith("MiniLM-L6-v2")
    assert len(json.loads((folder / "config.json").read_text())["id2label"]) > 1
    assert (folder / "README.md").read_text().partition("# ")[2].startswith(f"{folder.name}\n")


def test_every_adapter_is_exported_and_the_encoder_too() -> None:
    command = ["make", "--dry-run", "--always-make", "PYTHON=true", "demo-real-bundles"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert ADAPTERS
    for name in ["real-embed", *(folder.name for folder in ADAPTERS)]:
        assert f"--output bundles-real/{name}\n" in said
