"""Options of commands that not every task has.

Those that are fields of requests take type, limits and choices from what the task declares.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

import click
from click.core import ParameterSource

from bigbird_inference.manifest import TaskName
from bigbird_inference.tasks.registry import TASKS


def task_option(
    task: TaskName, field: str, help_text: str, *, without: str = "", with_default: bool = False
) -> Callable[[Any], Any]:
    """Return the option `--field` of a command.

    Args:
        task: The task that declares the field.
        field: Its name.
        help_text: What the help says of it.
        without: A choice that the command has no use for.
        with_default: Whether the option has the declared default; otherwise, absent, it leaves the field to the task.
    """
    request = TASKS[task].operation.request
    (info,) = (own for own in dataclasses.fields(request) if own.name == field)
    return click.option(
        f"--{info.name.replace('_', '-')}",
        type=_option_type(request, field, without),
        default=info.default if with_default else None,
        show_default=with_default,
        help=help_text,
    )


def refuse_options_of_other_tasks(context: click.Context, task: str, tasks_of: Mapping[str, Sequence[str]]) -> None:
    """Refuse what was given on the command line and would be ignored.

    Args:
        context: Of the command.
        task: What was asked for.
        tasks_of: For options that not every task has: those that do, by the option's name.

    Raises:
        click.UsageError: An option is for other tasks.
    """
    for parameter in context.command.params:
        own = tasks_of.get(str(parameter.name), [task])
        if task not in own and context.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{parameter.opts[0]} is for --task {' and '.join(own)}")


def _option_type(request: type[Any], field: str, without: str) -> click.ParamType[Any]:
    hint = get_type_hints(request, include_extras=True)[field]
    if get_origin(hint.__origin__) is Literal:
        return click.Choice([choice for choice in get_args(hint.__origin__) if choice != without])
    limits = [limit for info in hint.__metadata__ for limit in info.metadata]
    least, most = (next(getattr(limit, sign) for limit in limits if hasattr(limit, sign)) for sign in ("ge", "le"))
    return click.IntRange(least, most)
