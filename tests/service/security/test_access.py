"""Whose key it is, without telling by time how nearly it is one, and without showing what is kept of it."""

import hashlib
import hmac
import logging
import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from service.security.access import (
    Access,
    Key,
    KeyLineError,
    digest_of,
    is_loopback,
    key_line,
    make_key,
    read_access,
    read_key_file,
    read_key_variable,
    tell_exposure,
)
from service.settings import InvalidSettings, load_settings


def access(*names: str, admin: str | None = None) -> Access:
    keys = [Key(name, digest_of(f"secret of {name}")) for name in names]
    return Access([*keys, *([Key(admin, digest_of(f"secret of {admin}"), admin=True)] if admin else [])])


def test_a_key_is_recognised_among_several() -> None:
    known = access("reporting", "batch", admin="root")
    found = {secret: known.recognise(secret) for secret in ("secret of batch", "secret of root", "secret of nobody")}
    assert {secret: key.name if key else None for secret, key in found.items()} == {
        "secret of batch": "batch",
        "secret of root": "root",
        "secret of nobody": None,
    }
    assert [key.admin for key in found.values() if key] == [False, True]


@pytest.mark.parametrize(
    "secret", ["", " ", "secret of reportin", "SECRET OF REPORTING", "secret of reporting\x00", "\ud800", "é" * 100_000]
)
def test_what_is_no_key_is_nobodys(secret: str) -> None:
    assert access("reporting").recognise(secret) is None


def test_a_hash_is_no_key() -> None:
    key = Key("reporting", digest_of("secret"))
    assert Access([key]).recognise(key.digest.hex()) is None


def test_every_key_is_compared_in_constant_time_whichever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def counted(known: bytes, given: bytes) -> bool:
        compared.append((known, given))
        return compare(known, given)

    monkeypatch.setattr("service.security.access.hmac.compare_digest", counted)
    known = access("first", "second", "third")
    for secret in ("secret of first", "secret of third", "nothing like it"):
        compared.clear()
        known.recognise(secret)
        # All of them, and always hashes: equally long, and their first difference tells nothing.
        assert [kept for kept, _ in compared] == [key.digest for key in known.keys]
        assert {len(given) for _, given in compared} == {32}


def test_nothing_shows_what_is_kept_of_a_key() -> None:
    key = Key("reporting", digest_of("secret"))
    assert key.digest.hex() not in repr(key) and str(key.digest) not in repr(key)
    assert "reporting" in repr(key)


@pytest.mark.parametrize(
    ("known", "keys_required", "admin_enabled"),
    [
        pytest.param(access(), False, False, id="open, and administration off, by default"),
        pytest.param(access("reporting"), True, False, id="a key closes the service"),
        pytest.param(access(admin="root"), False, True, id="an admin key alone leaves the tasks open"),
        pytest.param(access("reporting", admin="root"), True, True, id="both"),
    ],
)
def test_what_needs_a_key_follows_from_the_keys(known: Access, keys_required: bool, admin_enabled: bool) -> None:
    assert (known.keys_required, known.admin_enabled) == (keys_required, admin_enabled)


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


USER = Key("reporting", b"1")
ADMIN = Key("root", b"2", admin=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost", "LOCALHOST"])
def test_an_address_of_this_machine_only(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com", "localhost.example.com", "127.0.0.1.nip"])
def test_an_address_that_others_may_reach(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("host", "keys", "warned"),
    [
        pytest.param("127.0.0.1", [], False, id="only this machine"),
        pytest.param("0.0.0.0", [], True, id="everybody and no key"),
        pytest.param("::", [ADMIN], True, id="an admin key does not close the tasks"),
        pytest.param("0.0.0.0", [USER], False, id="everybody with a key"),
    ],
)
def test_an_open_service_is_warned_about_loudly(
    host: str, keys: list[Key], warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    tell_exposure([host], Access(keys))
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert bool(warnings) == warned
    assert all("OPEN TO THE NETWORK WITHOUT KEYS" in warning and host in warning for warning in warnings)


def test_keys_are_counted_and_not_named(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    tell_exposure(["0.0.0.0"], Access([USER, ADMIN]))
    assert [record.getMessage() for record in caplog.records] == [
        "a key is needed, and 1 is known",
        "models can be managed over HTTP with the admin key",
    ]


# The SHA-256 of "abc", from FIPS 180-4.
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_line_holds_the_name_and_the_hash_and_not_the_key() -> None:
    assert key_line("reporting", "abc") == f"reporting sha256:{ABC}"


def test_a_new_key_has_256_random_bits_and_needs_no_quoting() -> None:
    keys = {make_key() for _ in range(100)}
    assert len(keys) == 100
    # 43 letters of base 64 are 258 bits.
    assert all(re.fullmatch(r"bb_[A-Za-z0-9_-]{43}", key) for key in keys)


def test_a_file_has_comments_empty_lines_and_keys(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_bytes(f"\ufeff# ours\r\n\r\n  reporting  sha256:{ABC}  # since May\r\nbatch sha256:{'0' * 64}".encode())
    assert [(key.name, key.digest.hex(), key.admin) for key in read_key_file(file)] == [
        ("reporting", ABC, False),
        ("batch", "0" * 64, False),
    ]


def test_a_variable_has_keys_with_commas_or_line_ends_between_them() -> None:
    keys = read_key_variable(f"one sha256:{ABC}, two sha256:{'0' * 64}\nthree sha256:{'1' * 64},", admin=True)
    assert [(key.name, key.admin) for key in keys] == [("one", True), ("two", True), ("three", True)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "{file} holds no key", id="an empty file would open the service"),
        pytest.param(b"# nothing yet\n\n", "{file} holds no key", id="comments alone, too"),
        pytest.param(b"ok sha256:" + b"0" * 64 + b"\nSECRET", "{file}:2: not `NAME sha256:`", id="a key by itself"),
        pytest.param(b"mine:SECRET\n", "{file}:1: not `NAME sha256:`", id="a key after a name"),
        pytest.param(b"mine sha256:SECRET\n", "{file}:1: not `NAME sha256:`", id="a key in place of its hash"),
        pytest.param(b"SECRET SECRET sha256:" + b"0" * 64, "{file}:1: not `NAME sha256:`", id="two names"),
        pytest.param(b"mine sha256:" + b"0" * 63, "{file}:1: not `NAME sha256:`", id="a digit too few"),
        pytest.param(b"mine sha256:" + b"0" * 65, "{file}:1: not `NAME sha256:`", id="a digit too many"),
        pytest.param("mïne sha256:".encode() + b"0" * 64, "{file}:1: not `NAME sha256:`", id="a letter with dots"),
        pytest.param(b"a" * 64 + b" sha256:" + b"0" * 64, "{file}:1: not `NAME sha256:`", id="a name of 64 letters"),
        pytest.param(b"# a\n# b\nSECRET \xff\n", "{file}:3: not UTF-8", id="bytes that are not text"),
        pytest.param(b"#" * (1024 * 1024 + 1), "{file}: larger than", id="a file too large to be one of keys"),
        pytest.param(
            b"".join(b"k%d sha256:%064d\n" % (number, number) for number in range(1001)),
            "{file}:1001: more than 1000 keys",
            id="too many keys to compare with every request",
        ),
    ],
)
def test_a_bad_file_is_told_by_its_place_and_never_by_its_words(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "keys"
    file.write_bytes(content)
    with pytest.raises(KeyLineError) as error:
        read_key_file(file)
    told = str(error.value)
    assert told.startswith(message.format(file=file)), told
    assert "\n" not in told and "SECRET" not in told and len(told) < len(str(file)) + 120
    assert error.value.__cause__ is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda path: None, "No such file or directory", id="no file"),
        pytest.param(lambda path: path.mkdir(), "Is a directory", id="a folder"),
    ],
)
def test_what_is_no_file_is_named(tmp_path: Path, make: object, message: str) -> None:
    path = tmp_path / "keys"
    assert callable(make)
    make(path)
    with pytest.raises(KeyLineError, match=re.escape(f"{path}: {message}")):
        read_key_file(path)


@pytest.mark.parametrize("value", ["SECRET", f"one sha256:{ABC}, SECRET", " , ,"])
def test_a_bad_variable_is_told_without_its_value(value: str) -> None:
    with pytest.raises(KeyLineError) as error:
        read_key_variable(value)
    assert "SECRET" not in str(error.value)


def test_the_hash_is_sha256_of_the_keys_utf8() -> None:
    key = make_key()
    assert key_line("n", key) == f"n sha256:{hashlib.sha256(key.encode()).hexdigest()}"
