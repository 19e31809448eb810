"""Take the pictures of the page at `/` that README and docs show, in light and dark.

    python -m scripts.take_screenshots

The bundles are those of `make demo-bundles` and `make demo-real-bundles`. The pictures go to docs/images; the fonts in
them are this machine's.
"""

import argparse
import io
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from benchmarks.chromium import ask_and_wait, choose_task, chromium
from benchmarks.running_server import running_server

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
# What is asked of which bundles, about the example that the page opens for them.
TASKS = {"bundles-real": ("ner",), "bundles": ("qa", "classify")}


def picture(page: Page, task: str) -> bytes:
    """Ask about the example that is open, and return what is seen then, as WebP."""
    choose_task(page, task)
    ask_and_wait(page)
    page.mouse.move(0, 0)
    found = io.BytesIO()
    Image.open(io.BytesIO(page.screenshot())).convert("RGB").save(found, "WEBP", quality=34, method=6)
    return found.getvalue()


def main() -> None:
    """Replace the pictures."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    IMAGES.mkdir(exist_ok=True)
    for models, tasks in TASKS.items():
        with running_server(ROOT / models) as server, chromium() as browser:
            for scheme in ("light", "dark"):
                page = browser.new_page(
                    viewport={"width": 1240, "height": 720}, color_scheme=scheme, reduced_motion="reduce"
                )
                page.goto(server.url)
                page.wait_for_selector("#reading .block")
                for task in tasks:
                    (IMAGES / f"playground-{task}-{scheme}.webp").write_bytes(picture(page, task))


if __name__ == "__main__":
    main()
