"""`bigbird serve`: every setting of the service is a flag here, and flags win over the environment.

But not secrets: every user of a machine can read the flags of its processes.
"""

import sys

import click

from service.process.server import serve
from service.settings import InvalidSettings, Settings, environment_name, is_secret, load_settings


def _setting_options() -> list[click.Parameter]:
    """Return one option for each setting, and one that turns off what is on; the settings check the values."""
    options: list[click.Parameter] = [
        click.Option(
            [f"--{name.replace('_', '-')}"],
            help=f"{field.description} [env: {environment_name(name)}; default: {_default_text(field.default)}]",
            metavar="VALUE",
            multiple=name == "host",
        )
        for name, field in Settings.model_fields.items()
        if not is_secret(name)
    ]
    switched_on = [name for name, field in Settings.model_fields.items() if field.default is True]
    return options + [
        click.Option(
            [f"--no-{name.replace('_', '-')}", name],
            flag_value="false",
            help=f"The same as --{name.replace('_', '-')} false.",
        )
        for name in switched_on
    ]


def _default_text(default: object) -> str:
    return "unset" if default is None else str(default)


def _serve(host: tuple[str, ...], **flags: str | None) -> None:
    try:
        settings = load_settings(host=",".join(host) or None, **flags)
    except InvalidSettings as error:
        raise click.ClickException(str(error)) from error
    sys.exit(serve(settings))


command = click.Command(
    "serve",
    params=_setting_options(),
    callback=_serve,
    help="Serve every bundle under a folder over HTTP until SIGTERM or Ctrl-C.",
)
