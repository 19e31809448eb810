"""The process in which files of others are parsed: one request after the other, from standard input.

    python -m documents.parser_process MEMORY_MEGABYTES

It may crash or hang, so it holds nothing that anybody needs. Whoever started it ends it from outside; it ends by itself
when standard input closes, that is when that process has ended, however that happened, and when it has computed for
longer than a file may take. It writes no files.
"""

import contextlib
import os
import queue
import resource
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO

from documents.errors import DocumentError
from documents.limits import Limits
from documents.reading import highlight, read_document
from documents.wire import document_message, marks_of, receive, send

_Request = tuple[dict[str, Any], bytes]


def main(memory_megabytes: int) -> None:
    """Answer requests until there are no more."""
    answers = _own_output()
    _limit(memory_megabytes)
    requests: queue.SimpleQueue[_Request] = queue.SimpleQueue()
    # A request's time begins when it can be answered.
    send(answers, {"ready": True})
    threading.Thread(target=_listen, args=(sys.stdin.buffer, requests), daemon=True).start()
    while True:
        message, content = requests.get()
        limits = Limits(**message["limits"])
        _limit_processor_time(limits.seconds)
        send(answers, *_answer(message, content, limits))


def _answer(message: dict[str, Any], content: bytes, limits: Limits) -> _Request:
    source = content if message["path"] is None else Path(os.fsdecode(bytes.fromhex(message["path"])))
    try:
        if message["marks"] is not None:
            return {}, highlight(source, marks_of(message["marks"]), limits)
        return document_message(read_document(source, message["kind"], limits))
    except DocumentError as error:
        return {"error": str(error)}, b""
    except MemoryError:
        return {"error": _too_large(limits)}, b""
    except Exception as error:  # whatever a parser raises is about the file
        said = " ".join(str(error).split())[:200]
        return {"error": f"cannot be read: {type(error).__name__}: {said}; save it again, or convert it to text"}, b""


def _too_large(limits: Limits) -> str:
    return f"parsing it takes more than {limits.memory_megabytes:,} MB of memory; split it"


def _listen(stream: BinaryIO, requests: "queue.SimpleQueue[_Request]") -> None:
    """Hand requests on; end the process with whoever sends them, whatever it does at that moment."""
    while (request := receive(stream)) is not None:
        requests.put(request)
    os._exit(0)


def _own_output() -> BinaryIO:
    """Return standard output for answers alone: what libraries print goes nowhere."""
    own = os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    return own


def _limit(memory_megabytes: int) -> None:
    # Not every system has every limit, and none of them is the only one.
    for limit, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_AS, _address_space() + memory_megabytes * 1_000_000),
    ):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(limit, (most, most))


def _address_space() -> int:
    """Return the address space that the process has already: libraries, and what is set aside for threads."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    except (OSError, ValueError):
        return 0


def _limit_processor_time(seconds: float) -> None:
    """End the process, by SIGXCPU, when it computes for so long, whoever waits for it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    wanted = int(used.ru_utime + used.ru_stime + seconds) + 1
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CPU, (wanted, most))


if __name__ == "__main__":
    main(int(sys.argv[1]))
