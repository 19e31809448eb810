"""Look-alikes of public checkpoints, downloaded from a local hub and read; `tests/end_to_end` serves them."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from model_export.checkpoints.checkpoint import CheckpointOptions
from model_export.checkpoints.recognise import read_checkpoint
from model_export.export.references import TorchSession
from model_export.export.signature import signature
from model_export.patterns.registry import get_pattern
from scripts.check_public_checkpoints import our_logits, their_logits
from scripts.public_checkpoints import read_list
from tests.model_export.checkpoints.hub_server import HubServer, Repository, environment
from tests.model_export.look_alikes import SHAPES, LookAlike, Model

PROGRAM = "import sys; from model_export.checkpoints.hub import resolve; [print(resolve(one)) for one in sys.argv[1:]]"
PARAMETERS = [pytest.param(shape, id=f"{shape.make.__name__}, like {shape.like}") for shape in SHAPES]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, tuple[Path, Model]]:
    """Each look-alike as it was downloaded, and the model that was saved in it."""
    folder = tmp_path_factory.mktemp("look_alikes")
    models, repositories = {}, {}
    for shape in SHAPES:
        (place := folder / shape.make.__name__).mkdir()
        models[shape.like] = shape.make(place)
        repositories[shape.like] = Repository.of(place)
    with HubServer(repositories) as hub:
        command = [sys.executable, "-c", PROGRAM, *models]
        own = environment(hub.url, folder / "cache")
        done = subprocess.run(command, env=own, capture_output=True, text=True, check=True)
    folders = map(Path, done.stdout.splitlines())
    return {like: (place, model) for (like, model), place in zip(models.items(), folders, strict=True)}


@pytest.mark.parametrize("shape", PARAMETERS)
def test_a_look_alike_gives_the_logits_of_the_model_that_was_saved(
    made: Mapping[str, tuple[Path, Model]], shape: LookAlike
) -> None:
    folder, model = made[shape.like]
    given = dict(zip(shape.options[::2], shape.options[1::2], strict=True))
    # What another look-alike lends is where it was downloaded to.
    options = {
        name.removeprefix("--"): str(made[value][0]) if value in made else value for name, value in given.items()
    }
    checkpoint = read_checkpoint(folder, CheckpointOptions(**options))
    loaded = checkpoint.load(get_pattern(checkpoint.default_pattern)).model
    assert checkpoint.task == shape.task
    length = checkpoint.config.max_length - 13
    ids = np.random.default_rng(length).integers(5, model.config.vocab_size, (1, length))
    getattr(model, "bert", model).set_attention_type(model.config.attention_type)
    with torch.inference_mode():
        theirs = their_logits(model, shape.task, torch.from_numpy(ids)).numpy()
    session = TorchSession(loaded, signature(shape.task, loaded.config))
    ours = our_logits(session, shape.task, ids, checkpoint.config.max_length)
    assert ours.shape == theirs.shape
    assert theirs.std() >= 0.5 or theirs.size < 4
    assert np.abs(ours - theirs).max() <= 1e-4


def test_the_list_names_what_the_look_alikes_are_like() -> None:
    listed = {one.id for one in read_list()}
    assert {shape.like for shape in SHAPES} - listed <= {"someone/shards"}
