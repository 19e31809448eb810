"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def track(items: Iterable[Item], total: int, describe: Callable[[Item], str]) -> Iterator[Item]:
    """Yield the items and show on standard error which one is worked on and how many are done.

    Args:
        items: The work.
        total: How many items there are.
        describe: What to call an item, for example "bucket 512".
    """
    if sys.stderr.isatty():
        with tqdm(total=total, file=sys.stderr, leave=True) as bar:
            for item in items:
                bar.set_description(describe(item))
                yield item
                bar.update()
        return
    for number, item in enumerate(items, start=1):
        print(f"[{number}/{total}] {describe(item)}", file=sys.stderr, flush=True)
        yield item
