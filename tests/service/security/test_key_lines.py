"""How keys are written down, and that what is wrong with a file is told without what stands in it."""

import hashlib
import re
from pathlib import Path

import pytest

from service.security.access import KeyLineError, key_line, make_key, read_key_file, read_key_variable

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
        pytest.param(b"# a\n# b\nSECRET \xff\n", "{file}:3: not UTF-8", id="bytes that are no text"),
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
