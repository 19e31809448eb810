"""`bigbird text`: what is read of a document, and where it stands on its pages."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import click
import numpy as np

from bigbird_cli.document_options import document_limit_options, given_document_limits
from bigbird_inference.extras import install_command
from documents.document import Document, Float32Array
from documents.errors import DocumentError
from documents.parsers import Parsers
from documents.reading import ENDINGS, kind_of, missing_module


@click.command("text")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--page-marks", is_flag=True, help="Print a line with its number before each page.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: the text, and which part of it is on which page.")
@click.option("--boxes", is_flag=True, help="With --json: also x0, top, x1 and bottom of each character, in points.")
@document_limit_options
def command(file: Path, page_marks: bool, as_json: bool, boxes: bool, **limits: Any) -> None:
    """Print the text of FILE in UTF-8: PDF, DOCX, HTML, Markdown or plain text.

    It is the text that `bigbird batch` asks about, and in which the positions of answers stand.
    """
    if boxes and not as_json:
        raise click.UsageError("--boxes needs --json")
    kind = kind_of(file.name)
    if kind is None:
        raise click.ClickException(f"{file}: ends with none of {', '.join(ENDINGS)}; give it the ending of what it is")
    if (module := missing_module(kind)) is not None:
        raise click.ClickException(f"{file}: needs the package {module!r}: {install_command('documents')}")
    try:
        with Parsers(given_document_limits(limits)) as parsers:
            document = parsers.read(file, kind)
    except DocumentError as error:
        raise click.ClickException(f"{file}: {error}") from error
    try:
        if as_json:
            _print(json.dumps(_described(document, boxes), ensure_ascii=False))
        elif page_marks and document.pages:
            for number, page in enumerate(document.pages, start=1):
                _print(f"--- page {number} ---\n{document.text[page.start : page.end]}")
        else:
            _print(document.text)
    except BrokenPipeError:  # whoever reads it has enough
        raise
    except OSError as error:
        raise click.ClickException(f"standard output cannot be written: {error.strerror}; make room") from error


def _print(text: str) -> None:
    """Print UTF-8, whatever the locale is: others may lack characters that documents have."""
    click.echo(text.encode("utf-8", "replace"))


def _described(document: Document, boxes: bool) -> dict[str, Any]:
    pages = [{"page": number, **dataclasses.asdict(page)} for number, page in enumerate(document.pages, start=1)]
    described: dict[str, Any] = {"text": document.text, "pages": pages}
    if boxes:
        described["boxes"] = None if document.boxes is None else _rounded(document.boxes)
    return described


def _rounded(boxes: Float32Array) -> list[list[float] | None]:
    """Return boxes as JSON: null for a character that stands nowhere."""
    nowhere = np.isnan(boxes[:, 0]).tolist()
    corners = np.round(boxes.astype(np.float64), 2).tolist()
    return [None if missing else box for missing, box in zip(nowhere, corners, strict=True)]
