"""Read pages of PDFs with pdfplumber: `python read_with_pdfplumber.py`, with lines of JSON at standard input.

Each line is a file and the numbers of its pages, from 1. For each file a line of JSON is printed: for each page its
words, and its characters in the order in which the file draws them, as text, left, top, right and bottom in points from
the upper left corner of the turned page's MediaBox.

Runs in an environment of its own, which has pdfplumber.
"""

import json
import logging
import sys
from typing import Any

import pdfplumber


def read(page: Any) -> dict[str, Any]:
    # Its numbers count from the origin of the file's own coordinates.
    left, top = page.bbox[:2]
    return {
        "characters": [
            [char["text"], char["x0"] - left, char["top"] - top, char["x1"] - left, char["bottom"] - top]
            for char in page.chars
        ],
        "words": [word["text"] for word in page.extract_words()],
    }


logging.disable()
for line in sys.stdin:
    asked = json.loads(line)
    with pdfplumber.open(asked["file"], pages=asked["pages"]) as document:
        print(json.dumps({page.page_number: read(page) for page in document.pages}), flush=True)
