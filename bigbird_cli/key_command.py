"""`bigbird key NAME`: make a key. It is printed here and never again; what is kept is its hash."""

import os
from pathlib import Path

import click

from service.security.access import NAME, key_line, make_key, names_in

_ONLY_FOR_THE_OWNER = 0o600


def _checked_name(context: click.Context, parameter: click.Parameter, name: str) -> str:
    if NAME.fullmatch(name) is None:
        raise click.BadParameter("letters, digits, '.', '_' and '-', at most 63, the first a letter or a digit")
    return name


@click.command("key")
@click.argument("name", callback=_checked_name)
@click.option(
    "--append",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Add the line to this file, and print the key alone.",
)
def command(name: str, file: Path | None) -> None:
    """Make a key for whoever is to be called NAME in metrics and log.

    Its line belongs into the file of BIGBIRD_API_KEYS_FILE, or of BIGBIRD_ADMIN_KEY_FILE if it may manage models. The
    server reads the file at start.
    """
    key = make_key()
    line = key_line(name, key)
    if file is None:
        click.echo(f"key, printed only now: {key}\nline for the key file: {line}")
        return
    try:
        _append(file, name, line)
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(key)


def _append(file: Path, name: str, line: str) -> None:
    content = file.read_text(encoding="utf-8-sig") if file.exists() else ""
    if name in names_in(content):
        raise click.ClickException(f"{file}: there is a key called {name} already")
    begin = "\n" if content and not content.endswith("\n") else ""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, _ONLY_FOR_THE_OWNER)
    with os.fdopen(descriptor, "a", encoding="utf-8") as appended:
        appended.write(f"{begin}{line}\n")
