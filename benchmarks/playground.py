"""How long the page at `/` takes beyond the service's own time, and whether it stays fluid with thousands of entities.

    python -m benchmarks.playground --models bundles

The bundles are those of `make demo-bundles`. The first figures are of a question about the example of 10,000 tokens:
from the click until the frame after the one with the marks, less the time from the last byte of the request to the
first of the answer. The others are the times between frames while documents with thousands of entities, one of them a
single line, are scrolled and filtered; their answers are made here, since no example has so many. The table goes to
benchmarks/results/playground.md.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from benchmarks.chromium import ask_and_wait, choose_task, chromium
from benchmarks.running_server import running_server

RESULTS = Path(__file__).parent / "results" / "playground.md"
_LABELS = ("PER", "ORG", "LOC", "DATE", "MONEY")

_BEYOND_THE_SERVICE = """() => {
    const took = (name) => performance.getEntriesByName(name).at(-1);
    const [asked, marked] = ["bigbird:asked", "bigbird:marked"].map((name) => took(name).startTime);
    const request = performance.getEntriesByType("resource").findLast((one) => one.name.endsWith("/qa"));
    const own = request.responseStart - request.requestStart;
    return { own, beyond: marked - asked - own };
}"""

# Frames are asked for all the while; the longest time between two is what a reader would notice.
_FRAMES_WHILE = """async (act) => {
    const acts = {
        scroll: (root, step) => { root.scrollTop += 240; },
        labels: (root, step) => {
            const boxes = document.querySelectorAll("#result .legend-label input");
            boxes[step % boxes.length].click();
        },
        score: (root, step) => {
            const slider = document.querySelector("#result input[type=range]");
            slider.value = String((step % 50) / 100 + 0.5);
            slider.dispatchEvent(new Event("input"));
        },
    };
    const root = document.querySelector("#reading");
    root.scrollTop = 0;
    const frame = () => new Promise(requestAnimationFrame);
    await frame();
    const times = [];
    let last = await frame();
    for (let step = 0; step < 240; step++) {
        acts[act](root, step);
        const now = await frame();
        times.push(now - last);
        last = now;
    }
    return times;
}"""


def beyond_the_service(page: Page, repeats: int) -> list[dict[str, float]]:
    """Ask the question that is filled in, again and again."""
    found = []
    for _ in range(repeats):
        ask_and_wait(page)
        found.append(page.evaluate(_BEYOND_THE_SERVICE))
    return found


@dataclass(frozen=True, slots=True)
class Document:
    """A document, in words, and the answer of `/ner` about it."""

    told: str
    text: str
    answer: dict[str, Any]

    @classmethod
    def of(cls, told: str, entities: int, before: Callable[[int], str]) -> "Document":
        """Return one with many entities; `before` is what stands before each."""
        pieces: list[str] = []
        found = []
        length = 0
        for number in range(entities):
            name, start = f"Name Number{number}", length + len(before(number))
            pieces += [before(number), name, " once. "]
            length = start + len(name) + len(" once. ")
            score = 0.5 + number % 50 / 100
            label = _LABELS[number % 5]
            found.append({"entity": label, "text": name, "start": start, "end": start + len(name), "score": score})
        usage = {"tokens": 1, "windows": 1, "buckets": [1], "truncated_tokens": 0, "queue_ms": 0.0, "inference_ms": 0.0}
        return cls(told, "".join(pieces), {"entities": found, "windows": [], "model": "demo-ner", "usage": usage})


def documents() -> list[Document]:
    """Return one of many lines, and one that is a single line of 196,000 characters."""
    return [
        Document.of(
            "5,000 entities",
            5000,
            lambda number: f"Line {number} names " if number % 3 else f"\nParagraph {number} begins with ",
        ),
        Document.of("4,400 entities in one line", 4400, lambda number: f"Entry {number} talks about "),
    ]


def frames(page: Page, document: Document) -> dict[str, list[float]]:
    """Show a document, and return the milliseconds between frames while something is done in each."""
    page.route("**/ner", lambda route: route.fulfill(content_type="application/json", body=json.dumps(document.answer)))
    choose_task(page, "ner")
    page.set_input_files(
        "#file", {"name": f"{document.told}.txt", "mimeType": "text/plain", "buffer": document.text.encode()}
    )
    page.wait_for_selector(f"#document-name:text('{document.told}')")
    ask_and_wait(page)
    acts = {
        "scroll": "scrolling",
        "labels": "a label switched in each frame",
        "score": "the lowest score moved in each",
    }
    return {f"{document.told}, {told}": page.evaluate(_FRAMES_WHILE, act) for act, told in acts.items()}


def _most_of(times: list[float]) -> float:
    return sorted(times)[max(0, round(0.99 * len(times)) - 1)]


def table(questions: list[dict[str, float]], between: dict[str, list[float]]) -> str:
    """Return the figures as Markdown."""
    beyond, own = ([one[name] for one in questions] for name in ("beyond", "own"))
    lines = [
        f"| What | Median, ms | 99 of 100 at most, ms | Of {len(questions)} questions, 240 frames |",
        "|---|---|---|---|",
        f"| From the click to the marks, beyond the service's own time | {statistics.median(beyond):.0f} | "
        f"{_most_of(beyond):.0f} | a question about 10,000 tokens; the service took {statistics.median(own):,.0f} ms |",
    ]
    for told, times in between.items():
        lines.append(f"| Between two frames | {statistics.median(times):.0f} | {_most_of(times):.0f} | {told} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("bundles"))
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    arguments = parser.parse_args()
    with running_server(arguments.models) as server, chromium() as browser:
        page = browser.new_page(viewport={"width": 1360, "height": 900}, reduced_motion="reduce")
        page.goto(server.url)
        page.wait_for_selector("#reading .block")
        questions = beyond_the_service(page, 3 if arguments.quick else 15)
        between = {told: times for document in documents() for told, times in frames(page, document).items()}
        made = table(questions, between)
    print(made)
    if not arguments.quick:
        RESULTS.write_text(f"# The page at `/`\n\n`python -m benchmarks.playground`\n\n{made}", encoding="utf-8")


if __name__ == "__main__":
    main()
