"""The `bigbird` command. Each subcommand is imported when it is called, so that serving never needs torch."""

import importlib
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from bigbird_inference.extras import install_command

# Name -> module, one line of help, and the extras that it needs; the help must not need the module.
_SUBCOMMANDS = {
    "batch": ("bigbird_cli.batch_command", "Ask a bundle about all rows of files, or a folder of documents.", ("cpu",)),
    "doctor": (
        "bigbird_cli.doctor_command",
        "Tell what this machine has, and whether a bundle would serve.",
        ("cpu",),
    ),
    "evaluate": (
        "bigbird_cli.evaluate_command",
        "Measure how good a bundle or a served model is on a file.",
        ("evaluate", "cpu"),
    ),
    "export": ("bigbird_cli.export_command", "Export a checkpoint to a bundle.", ("export", "cpu")),
    "finetune": ("bigbird_cli.finetune_command", "Fine-tune a checkpoint on your own data.", ("train", "cpu")),
    "inspect": (
        "bigbird_cli.inspect_command",
        "Show what a bundle holds, and check it.",
        ("cpu",),
    ),
    "key": ("bigbird_cli.key_command", "Make an API key, and the line that makes it known.", ("cpu",)),
    "measure": (
        "bigbird_cli.measure_command",
        "Measure bundles in the other runtimes that are installed.",
        ("export", "cpu", "openvino"),
    ),
    "serve": ("bigbird_cli.serve_command", "Serve every bundle under a folder over HTTP.", ("cpu",)),
    "text": ("bigbird_cli.text_command", "Print the text that is read of a document.", ("documents",)),
}


@contextmanager
def packages_of(command: str) -> Iterator[None]:
    """Import what a command needs; say what to install if it is not there."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"`bigbird {command}` needs the package {error.name!r}, which is not installed: "
            f"{install_command(*_SUBCOMMANDS[command][2])} (on a GPU host `gpu` in place of `cpu`)"
        ) from error


class _LazyGroup(click.Group):
    """A group whose commands live in modules of their own, each under the name `command`."""

    def main(self, *arguments: Any, **named: Any) -> Any:
        # Before anything heavy is imported: the first process of a container ignores signals that it does not handle.
        # A server that has accepted nothing has done what it was asked to do.
        status = 0 if sys.argv[1:2] == ["serve"] else 128 + signal.SIGTERM
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(status))
        return super().main(*arguments, **named)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _SUBCOMMANDS:
            return None
        with packages_of(cmd_name):
            module = importlib.import_module(_SUBCOMMANDS[cmd_name][0])
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            # click looks for likely names among the commands that it holds itself.
            raise click.exceptions.NoSuchCommand(error.command_name, possibilities=_SUBCOMMANDS, ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line, _) in sorted(_SUBCOMMANDS.items())])


@click.group(cls=_LazyGroup)
@click.version_option(package_name="bigbird-serve")
def main() -> None:
    """Serve BigBird on long documents: export a checkpoint, serve the bundle, look into it."""
