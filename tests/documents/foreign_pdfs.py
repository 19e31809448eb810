"""The PDFs of the table `foreign_pdfs.toml`, from the packages that hold them."""

import gzip
import tarfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.packages import Package, download, files_of_debian_package

_TABLE = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class ForeignPdf:
    """A PDF in a package.

    Attributes:
        name: In the table.
        package: Name of the package.
        path: In the package; with `.gz` it is compressed.
        pages: How many it has; 0 if it cannot be opened.
        error: What the one line says for a file that cannot be read; empty if it can.
    """

    name: str
    package: str
    path: str
    pages: int
    error: str


FOREIGN_PDFS: Mapping[str, ForeignPdf] = {
    name: ForeignPdf(name, fields["package"], fields["path"], fields["pages"], fields.get("error", ""))
    for name, fields in _TABLE["files"].items()
}


def fetch(downloads: Path, folder: Path) -> None:
    """Write every PDF of the table into a folder, as `NAME.pdf`.

    Raises:
        PackageError: A package cannot be had.
        KeyError: A package does not have a file of the table.
    """
    for package in PACKAGES:
        wanted = {pdf.path: pdf.name for pdf in FOREIGN_PDFS.values() if pdf.package == package.name}
        for path, content in _files(package, download(package, downloads)):
            if path in wanted:
                whole = gzip.decompress(content) if path.endswith(".gz") else content
                (folder / f"{wanted.pop(path)}.pdf").write_bytes(whole)
        if wanted:
            raise KeyError(f"{package} has no {', '.join(wanted)}")


def _package(name: str, fields: Mapping[str, object]) -> Package:
    return Package(name=name, **{key: value for key, value in fields.items() if key != "licence"})  # type: ignore[arg-type]


PACKAGES = [_package(name, fields) for name, fields in _TABLE["packages"].items()]


def _files(package: Package, file: Path) -> Iterator[tuple[str, bytes]]:
    if package.registry == "debian":
        yield from files_of_debian_package(file)
        return
    with tarfile.open(file) as archive:
        for member in archive.getmembers():
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None:
                yield member.name, content.read()
