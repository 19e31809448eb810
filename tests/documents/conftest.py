"""PDFs that other programs have written, and PDFs of our own by libraries that our environment does not have."""

import os
import subprocess
from pathlib import Path

import pytest

from scripts.packages import PackageError
from tests.clients.environment import make_environment
from tests.documents import foreign_pdfs
from tests.foreign_programs import REQUIRED

_LIBRARIES = ("pdfplumber==0.11.10", "pikepdf==10.18.0", "reportlab==5.1.0")
_HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def other_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with pdfplumber, pikepdf and ReportLab over ours."""
    return make_environment(tmp_path_factory.mktemp("environment"), *_LIBRARIES)


@pytest.fixture(scope="session")
def own_pdfs(other_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the PDFs of `write_pdfs`."""
    import matplotlib  # takes a while, and most tests here do without

    folder = tmp_path_factory.mktemp("own")
    font = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    subprocess.run([other_python, _HERE / "write_pdfs.py", folder, font], check=True, timeout=300)
    return folder


@pytest.fixture(scope="session")
def foreign_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the PDFs of the table."""
    folder = tmp_path_factory.mktemp("foreign")
    try:
        foreign_pdfs.fetch(tmp_path_factory.mktemp("packages"), folder)
    except PackageError as error:
        if os.environ.get(REQUIRED):
            pytest.fail(f"{error} ({REQUIRED} is set)")
        pytest.skip(str(error))
    return folder
