"""What a model took is given back when it is exchanged or unloaded: real sessions, threads, files, tokenizers."""

import asyncio
import gc
import os
import threading
import weakref
from pathlib import Path
from typing import Any

import httpx
import pytest

from bigbird_inference.loaded_model import LoadedModel
from service.app import create_app
from service.serving import Serving
from service.settings import Settings
from tests.service.asynchronous import asynchronous
from tests.service.models.test_served_bundle import TEXT, write_bundle

pytestmark = pytest.mark.integration  # reloads real sessions twenty times

RELOADS = 20


def parts_of(model: LoadedModel) -> list[weakref.ref[Any]]:
    """Everything heavy of a loaded model, without keeping it."""
    sessions: list[Any] = [session for own in model.sessions.values() for session in own]
    task: Any = model.task
    heavy = [*sessions, *(session._session for session in sessions), task.tokenizer]
    return [weakref.ref(part) for part in heavy]


def taken() -> tuple[int, int]:
    """Return the process's threads and open files."""
    return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))


async def start_text_threads(serving: Serving) -> None:
    """Have every text thread be there; left alone, one begins whenever the others have something to do."""
    together = threading.Barrier(serving.text_turns.threads)
    loop = asyncio.get_running_loop()
    await asyncio.gather(*(loop.run_in_executor(serving.text_threads, together.wait) for _ in range(together.parties)))


async def released(serving: Serving, parts: list[weakref.ref[Any]]) -> bool:
    """Wait until old versions are retired and the loop has let go of them."""
    while serving.changes.retiring:
        await asyncio.sleep(0.001)
    for _ in range(100):
        if all(part() is None for part in parts):
            return True
        await asyncio.sleep(0.01)
    return False


@asynchronous
async def test_twenty_reloads_leave_nothing_of_the_old_versions(tmp_path: Path, control_vocabulary: Path) -> None:
    write_bundle(tmp_path / "classify", "classify", control_vocabulary)
    app = create_app(Settings(models=tmp_path, threads=2, warm_up_seconds=0))
    gc.collect()
    gc.disable()
    try:
        async with app.router.lifespan_context(app):
            serving: Serving = app.state.serving
            await serving.warmed()
            await start_text_threads(serving)
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                after_first = (0, 0)
                for number in range(RELOADS):
                    parts = parts_of(serving.models["classify"])
                    assert len(parts) == 3, "a graph, its session, a tokenizer"
                    answers = [client.post("/classify", json={"text": TEXT[: 20 + 10 * n]}) for n in range(8)]
                    assert {answer.status_code for answer in await asyncio.gather(*answers)} == {200}
                    await serving.changes.reload("classify")
                    assert await released(serving, parts), number
                    after_first = after_first if number else taken()
                assert taken() == after_first
                parts = parts_of(serving.models["classify"])
                await serving.changes.unload("classify")
                assert await released(serving, parts)
    finally:
        gc.enable()
