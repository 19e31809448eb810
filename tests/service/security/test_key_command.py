"""`bigbird key`: the key once, and the line that makes it known."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from bigbird_cli.key_command import command
from service.security.access import Access, read_key_file, read_key_variable


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(command, list(arguments))
    return result.exit_code, result.output


def test_the_line_that_is_printed_makes_the_key_that_is_printed_known() -> None:
    status, printed = run("reporting")
    key, line = (text.split(":", 1)[1].strip() for text in printed.splitlines())
    found = Access(read_key_variable(line)).recognise(key)
    assert status == 0 and found is not None and found.name == "reporting"
    assert key not in line


def test_appending_prints_the_key_alone_and_keeps_it_out_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# ours, without a line end", encoding="utf-8")
    keys = {name: run(name, "--append", str(file))[1].strip() for name in ("reporting", "batch")}
    access = Access(read_key_file(file))
    assert {name: access.recognise(key).name for name, key in keys.items()} == {
        "reporting": "reporting",
        "batch": "batch",
    }  # type: ignore[union-attr]
    written = file.read_text(encoding="utf-8")
    assert written.startswith("# ours") and not any(key in written for key in keys.values())


def test_a_new_file_is_its_owners(tmp_path: Path) -> None:
    run("reporting", "--append", str(tmp_path / "keys"))
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o600


def test_a_name_that_is_taken_is_refused_and_the_file_stays(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    run("reporting", "--append", str(file))
    before = file.read_bytes()
    status, printed = run("reporting", "--append", str(file))
    assert (status, printed) == (1, f"Error: {file}: there is a key called reporting already\n")
    assert file.read_bytes() == before


@pytest.mark.parametrize("name", ["", "two words", "-first", "ümlaut", "a" * 64, "a\nb", 'a"b'])
def test_a_name_that_metrics_could_not_bear_is_refused(name: str) -> None:
    status, printed = run("--", name)
    assert status == 2 and "letters, digits" in printed
