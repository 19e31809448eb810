"""One small checkpoint and its bundle, for everything that needs a bundle but not a particular one."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import transformers

from bigbird_inference.manifest import Manifest
from model_export.pipeline import export_checkpoint
from model_export.preparation import ExportOptions
from tests.model_export.exported_models import save_model
from tests.model_export.reference_models import small_model


@pytest.fixture(scope="session", autouse=True)
def _shared_traces(shared_traces: None) -> None:
    """Trace equal graphs once, in all tests of exports."""


@dataclass(frozen=True, slots=True)
class SmallExport:
    """An entity model with one full and one block-sparse bucket, and what it was exported from."""

    model: transformers.PreTrainedModel
    checkpoint: Path
    bundle: Path
    manifest: Manifest
    messages: str


@pytest.fixture(scope="session")
def small_export(tmp_path_factory: pytest.TempPathFactory) -> SmallExport:
    folder = tmp_path_factory.mktemp("small_export")
    model = small_model()
    checkpoint = save_model(model, folder / "checkpoint")
    with pytest.MonkeyPatch.context() as patch:
        messages = Messages()
        patch.setattr("sys.stderr", messages)
        manifest = export_checkpoint(checkpoint, folder / "small", ExportOptions(buckets=(112, 160)))
    return SmallExport(model, checkpoint, folder / "small", manifest, "".join(messages.written))


class Messages:
    """Takes what is written to standard error; no terminal."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def write(self, text: str) -> int:
        self.written.append(text)
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False
