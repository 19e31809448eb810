from pathlib import Path
from typing import Any

import pytest

from bigbird_cli.evaluate_command import command as evaluate
from service.settings import InvalidSettings, Settings, load_settings, settings_table, unknown_variables


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGBIRD_MODELS", "/somewhere/bundles")
    monkeypatch.setenv("BIGBIRD_PORT", "9000")
    settings = load_settings()
    assert (settings.models, settings.port) == (Path("/somewhere/bundles"), 9000)


def test_flags_win_over_the_environment_where_they_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGBIRD_PORT", "9000")
    monkeypatch.setenv("BIGBIRD_HOST", "0.0.0.0")
    settings = load_settings(port=9001, host=None)
    assert (settings.port, settings.host) == (9001, "0.0.0.0")


def test_an_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGBIRD_PORT", "")
    assert load_settings().port == 8000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("BIGBIRD_PORT", "http", id="a word for a port"),
        pytest.param("BIGBIRD_PORT", "65536", id="a port out of range"),
        pytest.param("BIGBIRD_MODEL_NAME", "team/contracts", id="a model's name with a slash"),
        pytest.param("BIGBIRD_DEVICE", "tpu", id="an unknown device"),
        pytest.param("BIGBIRD_DEVICE", "cuda:", id="a GPU without a number"),
        pytest.param("BIGBIRD_DEVICE", "cuda:0,", id="a list that does not go on"),
        pytest.param("BIGBIRD_DEVICE", "cpu:0", id="a numbered CPU"),
        pytest.param("BIGBIRD_GPU_MEMORY_LIMIT_BYTES", "-1", id="less than no memory"),
        pytest.param("BIGBIRD_LOG_FORMAT", "xml", id="an unknown log format"),
        pytest.param("BIGBIRD_TRACING", "perhaps", id="a word for a switch"),
        pytest.param("BIGBIRD_MAX_CHARACTERS", "0", id="no characters"),
        pytest.param("BIGBIRD_MAX_QUEUED_TOKENS", "many", id="a word for a number"),
        pytest.param("BIGBIRD_DRAIN_TIMEOUT_SECONDS", "inf", id="for ever"),
        pytest.param("BIGBIRD_LOG_LEVEL", "loud", id="an unknown log level"),
    ],
)
def test_an_invalid_value_is_refused_with_the_settings_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings) as error:
        load_settings()
    assert str(error.value).startswith(f"{name}: ")
    assert value in str(error.value)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:10", "cuda:0,1,3"])
def test_devices_are_named_as_a_whole_or_by_their_numbers(device: str) -> None:
    assert load_settings(device=device).device == device


def test_every_invalid_setting_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGBIRD_PORT", "a")
    monkeypatch.setenv("BIGBIRD_DEVICE", "b")
    with pytest.raises(InvalidSettings, match=r"BIGBIRD_PORT.*\n.*BIGBIRD_DEVICE"):
        load_settings()


def test_hosts_are_separated_by_commas() -> None:
    assert load_settings(host="127.0.0.1, ::1").hosts == ["127.0.0.1", "::1"]


@pytest.mark.parametrize("hosts", ["", ",", "127.0.0.1,", "a b"])
def test_a_host_that_is_left_out_is_refused(hosts: str) -> None:
    with pytest.raises(InvalidSettings, match="BIGBIRD_HOST"):
        load_settings(host=hosts)


def test_a_flag_that_is_no_setting_is_refused() -> None:
    unknown: dict[str, Any] = {"speed": "high"}
    with pytest.raises(InvalidSettings, match="BIGBIRD_SPEED"):
        load_settings(**unknown)


def test_a_variable_that_is_no_setting_is_told_with_the_nearest_one() -> None:
    assert unknown_variables(["BIGBIRD_PROT", "PATH", "bigbird_port", "BIGBIRD_CORS_ORIGIN", "BIGBIRD_ZZ"]) == [
        "BIGBIRD_CORS_ORIGIN is set, but is not a setting and changes nothing; did you mean BIGBIRD_CORS_ORIGINS?",
        "BIGBIRD_PROT is set, but is not a setting and changes nothing; did you mean BIGBIRD_PORT?",
        "BIGBIRD_ZZ is set, but is not a setting and changes nothing; `bigbird serve --help` lists them",
    ]


def test_variables_of_other_programs_are_not_told() -> None:
    others = [str(parameter.envvar) for parameter in evaluate.params if parameter.envvar]
    assert "BIGBIRD_API_KEY" in others
    assert unknown_variables([*others, "BIGBIRD_TESTS_REQUIRE_PROGRAMS"]) == []
    assert unknown_variables(f"BIGBIRD_{name.upper()}" for name in Settings.model_fields) == []


def test_what_a_setting_may_be_is_told_in_words() -> None:
    with pytest.raises(InvalidSettings) as error:
        load_settings(device="tpu")
    assert str(error.value).startswith("BIGBIRD_DEVICE: cannot be 'tpu'. `cuda`: all visible GPUs; ")


def test_the_table_shows_every_setting_with_its_default_and_meaning() -> None:
    rows = [row.split(" | ") for row in settings_table().splitlines()[2:]]
    assert [row[0] for row in rows] == [f"| `BIGBIRD_{name.upper()}`" for name in Settings.model_fields]
    assert all(default and meaning.strip(" |") for _, default, meaning in rows)
    assert ["| `BIGBIRD_PORT`", "`8000`"] in [row[:2] for row in rows]
    assert ["| `BIGBIRD_TRACING`", "`false`"] in [row[:2] for row in rows]
