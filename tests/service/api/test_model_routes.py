"""Managing models over HTTP: who may, what is answered, and what is told to nobody."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from service.app import create_app
from service.models.loading import ModelLoader
from service.security.access import key_line
from service.settings import Settings
from tests.fake_model import fake_loaded_model
from tests.service.asynchronous import asynchronous
from tests.service.models.test_loading import write_bundle
from tests.service.models.test_model_changes import Folder

ADMIN = {"Authorization": "Bearer the-admin-key"}
USER = {"Authorization": "Bearer a-users-key"}


@asynccontextmanager
async def managed(
    source: Any = None, admin: bool = True, models: Path = Path("bundles")
) -> AsyncIterator[httpx.AsyncClient]:
    """The application around one model, `ner`, with an admin key and a user's, or without keys."""
    keys = {
        "admin_key": SecretStr(key_line("operator", "the-admin-key")),
        "api_keys": SecretStr(key_line("reports", "a-users-key")),
    }
    settings = Settings(warm_up_seconds=0, models=models, **(keys if admin else {}))
    app = create_app(settings, {"ner": fake_loaded_model("ner", "ner")}, loader=source or Folder())
    async with app.router.lifespan_context(app):
        await app.state.serving.warmed()
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield client


@asynchronous
async def test_the_admin_key_loads_exchanges_and_unloads_a_model() -> None:
    async with managed() as client:
        loaded = await client.post("/v1/models/reports/load", headers=ADMIN)
        assert loaded.status_code == 200, loaded.text
        assert [loaded.json()[field] for field in ("name", "version", "endpoint")] == ["reports", 1, "/classify"]
        answered = await client.post("/classify", json={"text": "10"}, headers=USER)
        assert answered.json()["model"] == "reports"
        reloaded = await client.post("/v1/models/reports/reload", headers=ADMIN)
        assert (reloaded.status_code, reloaded.json()["version"]) == (200, 2)
        listed = (await client.get("/v1/models", headers=USER)).json()
        assert [model["name"] for model in listed["models"]] == ["ner", "reports"]
        assert listed["states"][1] == {
            "name": "reports",
            "state": "ready",
            "version": 2,
            "change": None,
            "failure": None,
        }
        unloaded = await client.post("/v1/models/reports/unload", headers=ADMIN)
        assert (unloaded.status_code, unloaded.json()) == (200, {"name": "reports", "version": 2})
        assert (await client.post("/classify", json={"text": "10"}, headers=USER)).status_code == 404


@asynchronous
async def test_after_the_last_model_is_unloaded_the_server_is_ready_and_finds_none() -> None:
    async with managed() as client:
        assert (await client.post("/v1/models/ner/unload", headers=ADMIN)).status_code == 200
        assert (await client.get("/health/ready")).status_code == 200
        assert (await client.get("/v1/models", headers=USER)).json() == {
            "object": "list",
            "data": [],
            "models": [],
            "states": [],
        }
        missing = await client.post("/ner", json={"text": "10"}, headers=USER)
        assert (missing.status_code, missing.json()["code"]) == (404, "model_not_found")


@pytest.mark.parametrize("change", ["load", "reload", "unload"])
@pytest.mark.parametrize(
    ("headers", "admin", "status", "code"),
    [
        ({}, True, 401, "unauthorized"),
        ({"Authorization": "Bearer wrong"}, True, 401, "unauthorized"),
        (USER, True, 403, "forbidden"),
        ({}, False, 403, "admin_disabled"),
        (ADMIN, False, 403, "admin_disabled"),
    ],
    ids=["no key", "a wrong key", "a user's key", "no key where none is known", "any key where none is known"],
)
@asynchronous
async def test_nobody_without_the_admin_key_changes_models(
    change: str, headers: dict[str, str], admin: bool, status: int, code: str
) -> None:
    async with managed(admin=admin) as client:
        refused = await client.post(f"/v1/models/ner/{change}", headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (status, code)
        assert (await client.post("/ner", json={"text": "10"}, headers=USER)).status_code == 200


@pytest.mark.parametrize(
    "name",
    ["..", "%2e%2e", "..%2Fsecret", "%2Fetc", ".hidden", "a%00b", "a%0A", "x" * 200],
    ids=[
        "the folder above",
        "the folder above, escaped",
        "a folder beside it",
        "an absolute path",
        "a hidden folder",
        "a NUL",
        "a line's end",
        "a name too long",
    ],
)
@asynchronous
async def test_a_name_is_never_a_path(tmp_path: Path, name: str) -> None:
    (tmp_path / "models").mkdir()
    for folder in (tmp_path / "secret", tmp_path / "models" / ".hidden"):
        write_bundle(folder)
    settings = Settings(models=tmp_path / "models")
    async with managed(ModelLoader(settings), models=settings.models) as client:
        refused = await client.post(f"/v1/models/{name}/load", headers=ADMIN)
        assert refused.status_code in (404, 422)
        assert refused.json()["code"] in ("not_found", "model_not_found", "invalid_request")


@asynchronous
async def test_links_are_followed_inside_the_folder_of_models_only(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    write_bundle(models / ".inside")
    write_bundle(tmp_path / "outside")
    (models / "inside").symlink_to(".inside")
    (models / "outside").symlink_to(tmp_path / "outside")
    (models / "all").symlink_to(models)
    (tmp_path / "link").symlink_to(models)
    for folder in (models, tmp_path / "link"):
        async with managed(ModelLoader(Settings(models=folder)), models=folder) as client:
            inside = await client.post("/v1/models/inside/load", headers=ADMIN)
            assert (inside.status_code, inside.json()["code"]) == (422, "model_rejected"), "it was opened: no weights"
            for name in ("outside", "all", "missing"):
                refused = await client.post(f"/v1/models/{name}/load", headers=ADMIN)
                assert (refused.status_code, refused.json()["code"]) == (404, "model_not_found")


@asynchronous
async def test_a_bundle_that_is_served_by_itself_is_managed_under_the_name_that_it_is_given(tmp_path: Path) -> None:
    write_bundle(tmp_path / "models")
    settings = Settings(models=tmp_path / "models", model_name="contracts")
    async with managed(ModelLoader(settings), models=settings.models) as client:
        found = [await client.post(f"/v1/models/{name}/load", headers=ADMIN) for name in ("contracts", "models")]
    assert [answer.json()["code"] for answer in found] == ["model_rejected", "model_not_found"]


@asynchronous
async def test_a_refused_bundle_is_named_without_the_place_of_the_folder(tmp_path: Path) -> None:
    write_bundle(tmp_path / "reports")
    async with managed(ModelLoader(Settings(models=tmp_path)), models=tmp_path) as client:
        refused = await client.post("/v1/models/reports/load", headers=ADMIN)
        assert (refused.status_code, refused.json()["code"]) == (422, "model_rejected")
        assert refused.json()["detail"] == "reports/weights.bin: missing"
        listed = await client.get("/v1/models", headers=USER)
        assert str(tmp_path) not in listed.text
        assert listed.json()["states"][1]["state"] == "failed"


@asynchronous
async def test_the_description_has_every_answer_of_the_changes() -> None:
    async with managed() as client:
        paths = (await client.get("/openapi.json", headers=USER)).json()["paths"]
        for change in ("load", "reload"):
            operation = paths[f"/v1/models/{{name}}/{change}"]["post"]
            assert {"200", "401", "403", "404", "405", "409", "422", "500", "503", "507"} <= set(operation["responses"])
        unload = paths["/v1/models/{name}/unload"]["post"]
        assert {"200", "401", "403", "404", "405", "409", "422", "503"} <= set(unload["responses"])
