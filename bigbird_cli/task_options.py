"""Options of commands that not every task has.

Those that are fields of requests take type, limits and choices from what the task declares.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

import click
from click.core import ParameterSource
from pydantic import TypeAdapter, ValidationError

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


def request_options() -> list[click.Option]:
    """Return an option for each field of any task's request but its texts; `given_request_options` reads the values.

    A field that is false unless asked for is the flag `--field`, one that is true the flag `--no-field`, and a list is
    an option that is repeated. Several tasks may have a field of one name with other limits, so the values of all
    others are texts here.
    """
    return [_request_option(field, tasks) for field, tasks in _tasks_with_field().items()]


def given_request_options(context: click.Context, task: TaskName) -> dict[str, Any]:
    """Return the fields that were given on the command line, as the task's request has them.

    Raises:
        click.UsageError: One is for other tasks, or has a value that the task refuses.
    """
    request = TASKS[task].operation.request
    hints = get_type_hints(request, include_extras=True)
    given: dict[str, Any] = {}
    for field, tasks in _tasks_with_field().items():
        if context.get_parameter_source(field) is not ParameterSource.COMMANDLINE:
            continue
        option = next(own.opts[0] for own in context.command.params if own.name == field)
        if task not in tasks:
            raise click.UsageError(f"{option} is for --task {' and '.join(tasks)}")
        value = context.params[field]
        try:
            given[field] = TypeAdapter(hints[field]).validate_python(list(value) if isinstance(value, tuple) else value)
        except ValidationError as error:
            problem = error.errors(include_input=False, include_url=False)[0]["msg"]
            raise click.UsageError(f"{option} of {task}: {problem[0].lower()}{problem[1:]}") from None
    return given


def _tasks_with_field() -> dict[str, list[TaskName]]:
    """Return the options of all tasks, each with the tasks that have it."""
    tasks: dict[str, list[TaskName]] = {}
    for task, served in TASKS.items():
        for field in dataclasses.fields(served.operation.request):
            if field.name in served.operation.options:
                tasks.setdefault(field.name, []).append(task)
    return tasks


def _request_option(field: str, tasks: Sequence[TaskName]) -> click.Option:
    request = TASKS[tasks[0]].operation.request
    hint = get_type_hints(request, include_extras=True)[field]
    (declared,) = (own for own in dataclasses.fields(request) if own.name == field)
    name, help_text = field.replace("_", "-"), f"{', '.join(tasks)}: {_description(hint)}"
    if declared.default is True:
        return click.Option([f"--no-{name}", field], flag_value=False, default=True, help=help_text)
    if declared.default is False:
        return click.Option([f"--{name}", field], is_flag=True, help=help_text)
    plain = hint.__origin__
    listed = any(get_origin(own) is list for own in (plain, *get_args(plain)))
    return click.Option([f"--{name}", field], multiple=listed, metavar="VALUE", help=help_text)


def _description(hint: Any) -> str:
    """Return the first sentence of what the task says of a field."""
    said = next(info.description for info in hint.__metadata__ if getattr(info, "description", None))
    return str(said).split(". ")[0].rstrip(".") + "."


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
    # A field may be null, too; on a command line it is then left out.
    choices = next((own for own in (hint.__origin__, *get_args(hint.__origin__)) if get_origin(own) is Literal), None)
    if choices is not None:
        return click.Choice([choice for choice in get_args(choices) if choice != without])
    limits = [limit for info in hint.__metadata__ for limit in info.metadata]
    least, most = (next(getattr(limit, sign) for limit in limits if hasattr(limit, sign)) for sign in ("ge", "le"))
    return click.IntRange(least, most)
