"""The value of `bigbird export --buckets`: lengths with commas between them, or a step."""

import re

import click

from bigbird_cli.token_numbers import TokenNumbers
from model_export.export.buckets import BucketStep

_STEP = re.compile(r"every:([0-9]{1,9})(?::([0-9]{1,9}))?")


class BucketChoice(click.ParamType[tuple[int, ...] | BucketStep]):
    """`128,256,704`, or `every:128`, or `every:128:2048` for lengths up to 2,048."""

    name = "lengths"
    _lengths = TokenNumbers("128,256,704 or a step like every:128")

    def convert(
        self, value: str | tuple[int, ...] | BucketStep, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...] | BucketStep:
        """Read the lengths or the step."""
        if isinstance(value, BucketStep):
            return value
        step = _STEP.fullmatch(value) if isinstance(value, str) else None
        if step is None:
            return self._lengths.convert(value, param, ctx)
        return BucketStep(int(step[1]), int(step[2]) if step[2] else None)
