"""Keys that are given out and taken back while the server runs."""

import asyncio
import os
from pathlib import Path

import pytest

from service.security import key_watch
from service.security.access import key_line, read_access
from service.security.key_watch import KeyWatch
from service.settings import Settings
from tests.service.asynchronous import asynchronous
from tests.service.running_app import running_app


class Keys:
    """A file of keys, and what watches it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "keys"
        self.write(key_line("first", "one"))
        settings = Settings(api_keys_file=self.file)
        self.access = read_access(settings)
        self.told: list[set[str]] = []
        self.watch = KeyWatch(settings, self.access, lambda names: self.told.append(set(names)))

    def write(self, *lines: str) -> None:
        """As an editor does it: a new file takes the place of the old one."""
        new = self.file.with_name("new")
        new.write_text("\n".join(lines))
        os.replace(new, self.file)

    def known(self) -> list[str]:
        return [secret for secret in ("one", "two") if self.access.recognise(secret)]


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


def test_a_key_is_given_out_and_another_taken_back(keys: Keys) -> None:
    keys.write(key_line("second", "two"))
    keys.watch.look()
    assert keys.known() == ["one"]  # somebody may still be writing
    keys.watch.look()
    assert (keys.known(), keys.told) == (["two"], [{"second"}])
    keys.watch.look()
    assert keys.told == [{"second"}]


TWICE = f"{key_line('first', 'one')}\n{key_line('first', 'two')}"


@pytest.mark.parametrize("content", ["", "second secret-two", TWICE])
def test_a_file_that_cannot_be_used_changes_nothing(keys: Keys, content: str, caplog: pytest.LogCaptureFixture) -> None:
    keys.write(content)
    for _ in range(3):
        keys.watch.look()
    assert (keys.known(), keys.told) == (["one"], [])
    assert len(caplog.records) == 1
    assert "secret-two" not in caplog.text
    keys.write(key_line("second", "two"))
    keys.watch.look()
    keys.watch.look()
    assert keys.known() == ["two"]


def test_a_file_that_is_gone_changes_nothing(keys: Keys) -> None:
    keys.file.unlink()
    keys.watch.look()
    keys.watch.look()
    assert keys.known() == ["one"]


@asynchronous
async def test_the_server_watches_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_watch, "_SECONDS", 0.0)
    file = tmp_path / "keys"
    file.write_text(key_line("first", "one"))
    async with running_app(api_keys_file=file) as (_, client):

        async def status(secret: str) -> int:
            answer = await client.get("/v1/models", headers={"authorization": f"Bearer {secret}"})
            return answer.status_code

        assert (await status("one"), await status("two")) == (200, 401)
        file.write_text(key_line("second", "two"))
        async with asyncio.timeout(60):
            while await status("two") != 200:
                await asyncio.sleep(0)
        assert await status("one") == 401
