"""From settings to keys: every source, and one line for every mistake."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from service.security.access import key_line, read_access
from service.settings import InvalidSettings, load_settings


def test_all_sources_together_are_the_keys(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(key_line("filed", "1"), encoding="utf-8")
    (tmp_path / "admins").write_text(key_line("root", "3"), encoding="utf-8")
    access = read_access(
        load_settings(
            api_keys_file=tmp_path / "keys",
            api_keys=SecretStr(key_line("given", "2")),
            admin_key_file=tmp_path / "admins",
            admin_key=SecretStr(key_line("root-of-old", "4")),
        )
    )
    assert {key.name: key.admin for key in access.keys} == {
        "filed": False,
        "given": False,
        "root": True,
        "root-of-old": True,
    }


def test_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGBIRD_API_KEYS", key_line("given", "2"))
    monkeypatch.setenv("BIGBIRD_ADMIN_KEY", key_line("root", "3"))
    access = read_access(load_settings())
    assert access.recognise("2") is not None and access.admin_enabled


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"api_keys": "hunter2"}, "BIGBIRD_API_KEYS: entry 1: not `NAME sha256:`", id="a bare key"),
        pytest.param({"admin_key": "hunter2"}, "BIGBIRD_ADMIN_KEY: entry 1: not `NAME sha256:`", id="a bare admin key"),
        pytest.param({"api_keys": ","}, "BIGBIRD_API_KEYS: the value holds no key", id="no key at all"),
        pytest.param(
            {"api_keys": f"{key_line('a', 'hunter2')},{key_line('a', 'x')}"},
            "keys: two have the name a",
            id="a name twice",
        ),
        pytest.param(
            {"api_keys": key_line("a", "hunter2"), "admin_key": key_line("root", "hunter2")},
            "keys: a and root are the same key",
            id="one key for using and for managing",
        ),
    ],
)
def test_a_mistake_is_one_line_that_names_the_setting_and_no_key(settings: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidSettings) as error:
        read_access(load_settings(**settings))
    told = str(error.value)
    assert told.startswith(message) and "\n" not in told
    assert "hunter2" not in told


@pytest.mark.parametrize("setting", ["api_keys_file", "admin_key_file"])
def test_a_bad_file_is_named_with_its_line_and_its_setting(setting: str, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"{key_line('a', 'x')}\nhunter2\n", encoding="utf-8")
    with pytest.raises(InvalidSettings) as error:
        read_access(load_settings(**{setting: file}))
    assert str(error.value).startswith(f"BIGBIRD_{setting.upper()}: {file}:2: ")
    assert "hunter2" not in str(error.value)


def test_settings_never_show_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    line = key_line("a", "hunter2")
    settings = load_settings(api_keys=line, admin_key=key_line("root", "hunter3"))
    printed = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert "sha256" not in printed and line.split(":")[1] not in printed


def test_a_secret_of_the_wrong_kind_is_not_repeated() -> None:
    with pytest.raises(InvalidSettings) as error:
        load_settings(api_keys=["hunter2"], port="many")
    assert "hunter2" not in str(error.value) and "'many'" in str(error.value)
