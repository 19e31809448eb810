"""Which models are served now, which of them are being changed, and who still uses each.

A request leases its model: from its choice to the end of its answer it is encoded, run and decoded by one version, even
if another has taken the name meanwhile. A version that was taken out is released when its last lease has ended.

    load:    loading ─> ready          unload:  ready ─> unloading ─> gone
             loading ─> failed         reload:  ready, whatever becomes of it
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

from bigbird_inference.buckets import ModelVersion
from bigbird_inference.errors import InvalidInput, ModelNotFound
from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.manifest import TaskName

ENDPOINTS: Mapping[TaskName, str] = {name: f"/{name}" for name in get_args(TaskName)}

ChangeKind = Literal["load", "unload", "reload"]
State = Literal["loading", "ready", "unloading", "failed"]
ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True)
class ModelState:
    """What is known of a name.

    Attributes:
        name: The model's name.
        state: `loading` and `failed` answer nothing; nor does `unloading`, which finishes what it has accepted.
        version: How often it has been loaded; 0 for never.
        change: What is being done with it, or None.
        failure: Why the last change failed, or None if it did not.
    """

    name: str
    state: State
    version: int
    change: ChangeKind | None
    failure: str | None


class ServedModels(Mapping[str, LoadedModel]):
    """The models that requests can choose, by name.

    Everything happens on the event loop, so that each call is one step for everybody else. The tables are replaced and
    never changed in place, because metrics read them from another thread.

    Args:
        models: What is served at first.
        failures: Names that should have been, and why they are not.
    """

    def __init__(self, models: Mapping[str, LoadedModel], failures: Mapping[str, str] | None = None) -> None:
        self._served = dict(models)
        self._versions = {name: model.version for name, model in models.items()}
        self._changes: dict[str, ChangeKind] = {}
        self._failures = dict(failures or {})
        self._leases: Counter[ModelVersion] = Counter()
        self._lease_ended = asyncio.Event()
        self.warm = False

    def __getitem__(self, name: str) -> LoadedModel:
        return self._served[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._served)

    def __len__(self) -> int:
        return len(self._served)

    def notes(self) -> list[str]:
        """Return each note that models carry, after the names of those that carry it."""
        names: dict[str, list[str]] = {}
        for name, model in sorted(self._served.items()):
            if model.manifest.source.note is not None:
                names.setdefault(model.manifest.source.note, []).append(name)
        return [f"{', '.join(own)}: {note}" for note, own in names.items()]

    def choose(self, task: TaskName, name: str | None) -> LoadedModel:
        """Return the model that a request asks for, or the only one of its task.

        Raises:
            ModelNotFound: There is none of that name or task.
            InvalidInput: The request names none and several would do.
        """
        candidates = {model.name: model for model in self._served.values() if model.manifest.task == task}
        choices = ", ".join(sorted(candidates)) or "none"
        if name is None:
            if len(candidates) == 1:
                return next(iter(candidates.values()))
            if candidates:
                raise InvalidInput(f"model is needed, because several models serve this task: {choices}")
            raise ModelNotFound(f"No loaded model serves {ENDPOINTS[task]}; see /v1/models.")
        if name in candidates:
            return candidates[name]
        if name in self._served:
            endpoint = ENDPOINTS[self._served[name].manifest.task]
            raise ModelNotFound(f"The model {name!r} serves {endpoint}, not {ENDPOINTS[task]}; models here: {choices}")
        raise ModelNotFound(f"There is no model {name!r}; models here: {choices}")

    def choose_any(self, name: str | None) -> LoadedModel:
        """Return the model of a name, whatever its task, or the only one.

        Raises:
            ModelNotFound: There is none of that name, or none at all.
            InvalidInput: The request names none and several are loaded.
        """
        choices = ", ".join(sorted(self._served)) or "none"
        if name is None and len(self._served) > 1:
            raise InvalidInput(f"model is needed, because several models are loaded: {choices}")
        if name is None and self._served:
            return next(iter(self._served.values()))
        if name is None or name not in self._served:
            raise ModelNotFound(f"There is no model {name!r}; models here: {choices}")
        return self._served[name]

    @contextlib.contextmanager
    def lease(self, task: TaskName, name: str | None) -> Iterator[LoadedModel]:
        """Choose a model and keep this version of it usable until the end.

        Raises:
            ModelNotFound, InvalidInput: See `choose`.
        """
        model = self.choose(task, name)
        self._leases[model.model_version] += 1
        try:
            yield model
        finally:
            self._leases[model.model_version] -= 1
            self._lease_ended.set()

    async def unused(self, version: ModelVersion) -> None:
        """Wait until nobody leases a version that nobody can choose any more."""
        while self._leases[version]:
            self._lease_ended.clear()
            await self._lease_ended.wait()
        del self._leases[version]

    # Changes; `service.models.model_changes` makes them.

    def change_of(self, name: str) -> ChangeKind | None:
        """Return what is being done with a name, or None."""
        return self._changes.get(name)

    @contextlib.contextmanager
    def changing(self, name: str, kind: ChangeKind) -> Iterator[None]:
        """Show a change for as long as it lasts."""
        self._changes = {**self._changes, name: kind}
        try:
            yield
        finally:
            self._changes = _without(self._changes, name)

    def next_version(self, name: str) -> int:
        """Return the number of the version that is being loaded."""
        return self._versions.get(name, 0) + 1

    def put(self, model: LoadedModel) -> LoadedModel | None:
        """Let requests choose this version from now on; return the one that they chose until now."""
        old = self._served.get(model.name)
        self._served = {**self._served, model.name: model}
        self._versions = {**self._versions, model.name: model.version}
        self._failures = _without(self._failures, model.name)
        return old

    def take(self, name: str) -> LoadedModel:
        """Let no request choose a model from now on; return it."""
        taken = self._served[name]
        self._served = _without(self._served, name)
        self._failures = _without(self._failures, name)
        return taken

    def note_failure(self, name: str, reason: str) -> None:
        """Remember why a change failed, until one succeeds."""
        self._failures = {**self._failures, name: reason}

    def states(self) -> list[ModelState]:
        """Return the state of every name that is served, being changed, or whose last change failed, by name."""
        names = sorted({*self._served, *self._changes, *self._failures})
        return [
            ModelState(
                name,
                self._state(name),
                self._versions.get(name, 0),
                self._changes.get(name),
                self._failures.get(name),
            )
            for name in names
        ]

    def _state(self, name: str) -> State:
        if name in self._served:
            return "ready" if self.warm else "loading"
        if name in self._changes:
            return "unloading" if self._changes[name] == "unload" else "loading"
        return "failed"


def _without(table: Mapping[str, ValueT], name: str) -> dict[str, ValueT]:
    return {other: value for other, value in table.items() if other != name}
