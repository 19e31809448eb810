"""How to install what is missing: the project is on no package index, so the way leads through its own folder."""

from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[1]


def install_command(*extras: str) -> str:
    """Return the command that adds extras to this installation.

    From a checkout it names the checkout, elsewhere the folder that the project was installed from has to be put in.
    Never a bare name: whoever registered that name on an index would be trusted.
    """
    place = str(_CHECKOUT) if (_CHECKOUT / "pyproject.toml").is_file() else "path/to/bigbird-serve"
    return f"pip install '{place}[{','.join(extras)}]'"
