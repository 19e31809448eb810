"""The page at `/` and its files: what is served, with which headers, to whom."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bigbird_cli import serve_command
from service.security.access import key_line
from service.settings import Settings
from tests.service.asynchronous import asynchronous
from tests.service.running_app import running_app

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "service" / "playground"
FILES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file())
OWN = [name for name in FILES if not name.startswith("examples/")]


def test_the_page_is_small() -> None:
    assert sum((FOLDER / name).stat().st_size for name in OWN) < 120_000


def test_the_examples_are_those_of_the_project() -> None:
    suggested = json.loads((FOLDER / "examples" / "examples.json").read_text(encoding="utf-8"))
    for name, suggestion in suggested.items():
        if not suggestion["synthetic"]:
            text = (ROOT / "examples" / "real" / f"{name}.txt").read_bytes()
            assert (FOLDER / "examples" / f"{name}.txt").read_bytes() == text
            continue
        request = json.loads((ROOT / "examples" / "requests" / f"qa-{name}.json").read_text(encoding="utf-8"))
        text = (FOLDER / "examples" / f"{name}.txt").read_text(encoding="utf-8")
        assert request == {"question": suggestion["question"], "context": text}
    assert {f"examples/{name}.txt" for name in suggested} | {"examples/examples.json", *OWN} == set(FILES)


@asynchronous
async def test_the_page_and_its_files_are_served_with_a_strict_policy() -> None:
    kinds = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
    async with running_app() as (_, client):
        for name in FILES:
            answer = await client.get("/" if name == "index.html" else f"/playground/{name}")
            assert answer.status_code == 200
            assert answer.content == (FOLDER / name).read_bytes()
            suffix = Path(name).suffix
            assert answer.headers["content-type"].split(";")[0] == {
                **kinds,
                ".json": "application/json",
                ".txt": "text/plain",
            }.get(suffix)
            policy = answer.headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
            assert "unsafe" not in policy and "*" not in policy and "http" not in policy


@asynchronous
async def test_what_a_browser_has_already_is_not_sent_again() -> None:
    async with running_app() as (_, client):
        for path in ("/", "/playground/main.js"):
            first = await client.get(path)
            assert first.headers["cache-control"] == "no-cache"
            for known in (first.headers["etag"], f'"other", W/{first.headers["etag"]}', "*"):
                again = await client.get(path, headers={"if-none-match": known})
                assert (again.status_code, again.content) == (304, b"")
                assert again.headers["etag"] == first.headers["etag"]
            assert (await client.get(path, headers={"if-none-match": '"other"'})).status_code == 200


@asynchronous
async def test_it_is_read_only() -> None:
    async with running_app() as (_, client):
        head = await client.head("/playground/main.js")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str((FOLDER / "main.js").stat().st_size)
        assert (await client.post("/playground/main.js")).status_code == 405
        assert (await client.put("/")).status_code == 405


@pytest.mark.parametrize("name", ["nothing.js", "", "index.html", "../app.py", "%2e%2e/app.py", "/etc/passwd", "tasks"])
@asynchronous
async def test_nothing_else_is_served(name: str) -> None:
    async with running_app() as (_, client):
        answer = await client.get(f"/playground/{name}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@asynchronous
async def test_it_is_open_where_keys_are_needed() -> None:
    async with running_app(api_keys=key_line("reporting", "first-key")) as (_, client):
        assert (await client.get("/")).status_code == 200
        assert (await client.get("/playground/main.js")).status_code == 200
        assert (await client.get("/v1/models")).status_code == 401
        assert (await client.post("/", json={"inputs": "10"})).status_code == 401


@asynchronous
async def test_switched_off_it_leads_to_the_docs() -> None:
    async with running_app(playground=False) as (_, client):
        for start in (await client.get("/"), await client.head("/")):
            assert (start.status_code, start.headers["location"]) == (307, "docs")
        assert (await client.get("/playground/main.js")).status_code == 404
        assert "/playground" not in (await client.get("/openapi.json")).text


@pytest.mark.parametrize(
    ("flags", "served_page"), [([], True), (["--no-playground"], False), (["--playground", "false"], False)]
)
def test_a_flag_switches_it_off(flags: list[str], served_page: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Settings] = []
    monkeypatch.setattr(serve_command, "serve", lambda settings: served.append(settings) or 0)
    assert CliRunner().invoke(serve_command.command, flags).exit_code == 0
    assert [settings.playground for settings in served] == [served_page]


@asynchronous
async def test_its_files_have_one_label_in_the_metrics() -> None:
    async with running_app() as (_, client):
        for path in ("/", "/playground/main.js", "/playground/style.css", "/playground/nothing"):
            await client.get(path)
        lines = (await client.get("/metrics")).text.splitlines()
    labels = {line.split('endpoint="')[1].split('"')[0] for line in lines if "bigbird_requests_total{" in line}
    assert {label for label in labels if "playground" in label} == {"/playground/{name:path}"}


def test_its_pictures_are_small() -> None:
    pictures = [*(ROOT / "docs" / "images").glob("playground-*.webp")]
    assert len(pictures) == 6
    assert sum(picture.stat().st_size for picture in pictures) < 300_000
