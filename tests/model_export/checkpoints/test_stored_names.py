"""Names as the wrappers themselves write them, and what is refused because they do not tell one tensor from another."""

import shutil
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.optim.swa_utils import AveragedModel

from model_export.checkpoints.checkpoint import CheckpointOptions, LoadedCheckpoint
from model_export.checkpoints.recognise import read_checkpoint
from model_export.checkpoints.stored_names import under_own_names
from model_export.errors import CheckpointError
from model_export.patterns.registry import get_pattern
from tests.model_export.exported_models import save_model
from tests.model_export.reference_models import make_config, make_model

PATTERN = get_pattern("transformers")
Tensors = Mapping[str, torch.Tensor]
Model = transformers.PreTrainedModel


@pytest.fixture(scope="module")
def model() -> Model:
    return make_model("ner", make_config(100, hidden_size=12, intermediate_size=16, num_labels=3))


@pytest.fixture(scope="module")
def saved(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(model, tmp_path_factory.mktemp("ner"))


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "checkpoint"))


def load(folder: Path, *ignored: str) -> LoadedCheckpoint:
    return read_checkpoint(folder, CheckpointOptions(ignore_weights=ignored)).load(PATTERN)


def refusal(folder: Path, *ignored: str) -> str:
    with pytest.raises(CheckpointError) as refused:
        load(folder, *ignored)
    return str(refused.value)


def write(folder: Path, tensors: Tensors) -> None:
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, folder / "model.safetensors")


def edit(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    write(folder, tensors)


def both(folder: Path, model: Model, first: str, second: str) -> Path:
    """Write a model's weights below one name, and others below another."""
    tensors = model.state_dict()
    others = {f"{second}{name}": tensor + 1 for name, tensor in tensors.items()}
    write(folder, {f"{first}{name}": tensor for name, tensor in tensors.items()} | others)
    return folder


# Nothing is compiled: the names are those of the wrapper.
compiled = partial(torch.compile, backend="eager")


class Lightning(nn.Module):
    """Keeps the model and the loss as a LightningModule does."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.loss_fct = nn.CrossEntropyLoss(weight=torch.ones(3))


class OwnHead(nn.Module):
    """An encoder under a name of its own, with a head beside it."""

    def __init__(self, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.bigbird, self.classifier = encoder, head


class EncoderHead(nn.Module):
    """As above, with the name that a part of the encoder has, too."""

    def __init__(self, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.classifier = encoder, head


def checkpointed_layers(model: Model) -> nn.Module:
    wrapped = make_model("ner", model.config)
    wrapped.load_state_dict(model.state_dict())
    for at, layer in enumerate(wrapped.bert.encoder.layer):
        wrapped.bert.encoder.layer[at] = checkpoint_wrapper(layer)
    # Its own hook takes its name off again; torch.compile's does not.
    wrapped.bert.encoder.layer[0] = compiled(wrapped.bert.encoder.layer[0])
    return wrapped


WRAPPED: dict[str, tuple[Callable[[Model], nn.Module], str]] = {
    "torch.compile": (compiled, "taken off the tensors' names: _orig_mod."),
    "DataParallel": (nn.DataParallel, "taken off the tensors' names: module."),
    "Lightning": (Lightning, "taken off the tensors' names: model."),
    "averaged weights": (AveragedModel, "taken off the tensors' names: module."),
    "compiled, then in parallel": (
        lambda model: nn.DataParallel(compiled(model)),
        "taken off the tensors' names: module., _orig_mod.",
    ),
    "in parallel, compiled, in Lightning twice": (
        lambda model: Lightning(Lightning(compiled(nn.DataParallel(model)))),
        "taken off the tensors' names: model.model.",
    ),
    "its encoder alone in parallel": (
        lambda model: Lightning(OwnHead(nn.DataParallel(model.bert), model.classifier)),
        "model.bigbird. is read as bert.",
    ),
    "layer by layer": (checkpointed_layers, "taken off the tensors' names: _orig_mod."),
    "the encoder under a name of its own": (
        lambda model: OwnHead(model.bert, model.classifier),
        "bigbird. is read as bert.",
    ),
    "the encoder under the name of a part of it": (
        lambda model: EncoderHead(model.bert, model.classifier),
        "encoder. is read as bert.",
    ),
}


@pytest.mark.parametrize("case", WRAPPED)
def test_what_wrappers_put_before_the_names_is_taken_off(case: str, model: Model, saved: Path, folder: Path) -> None:
    wrap, line = WRAPPED[case]
    stored = wrap(model).state_dict()
    assert not stored.keys() <= model.state_dict().keys()
    write(folder, stored)
    loaded = load(folder)
    assert line in loaded.changes
    plain = load(saved).model.state_dict()
    assert all(torch.equal(plain[name], tensor) for name, tensor in loaded.model.state_dict().items())


def test_the_names_of_transformers_are_nothing_to_speak_of(saved: Path) -> None:
    assert load(saved).changes == ()


def test_an_encoder_saved_by_itself_may_be_wrapped(model: Model, folder: Path) -> None:
    write(folder, nn.DataParallel(compiled(model.bert)).state_dict())
    loaded = read_checkpoint(folder, CheckpointOptions("embed")).load(PATTERN)
    assert torch.equal(loaded.model.embeddings.word.weight, model.bert.embeddings.word_embeddings.weight)
    assert torch.equal(loaded.model.head.pooler.weight, model.bert.pooler.weight)


@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_normalisations_of_early_models_get_their_present_names(form: str, saved: Path, folder: Path) -> None:
    stored = load_file(folder / "model.safetensors")
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in stored.items()
    }
    assert old.keys() != stored.keys()
    if form == "bin":
        (folder / "model.safetensors").unlink()
        torch.save(old, folder / "pytorch_model.bin")
    else:
        write(folder, old)
    loaded = load(folder)
    assert loaded.changes == ("LayerNorm.gamma and LayerNorm.beta are read as LayerNorm.weight and LayerNorm.bias",)
    assert torch.equal(loaded.model.embeddings.norm.weight, stored["bert.embeddings.LayerNorm.weight"])


def test_only_whole_parts_of_a_name_are_taken_off() -> None:
    tensor = torch.ones(1)
    names = ("bert.embeddings.word_embeddings.weight", "modules.x", "bert.output.gamma", "bert.LayerNorm.gamma.more")
    stored = under_own_names(dict.fromkeys(names, tensor), Path("file"))
    assert tuple(stored.tensors) == names
    assert stored.changes == ()


def test_names_of_flax_are_unwrapped_in_the_same_way() -> None:
    names = ("params/bert/embeddings/word_embeddings/embedding", "params/classifier/kernel")
    stored = under_own_names(dict.fromkeys(names, torch.ones(1)), Path("file"), separator="/")
    assert list(stored.tensors) == ["bert/embeddings/word_embeddings/embedding", "classifier/kernel"]
    assert stored.changes == ("taken off the tensors' names: params/",)


def test_the_copy_of_a_module_that_peft_trained_is_used(model: Model, folder: Path) -> None:
    # What PEFT 0.21 puts into a whole model's state: tests/fixtures/make_adapters.py.
    copy = {name: torch.full_like(tensor, 7) for name, tensor in model.classifier.state_dict().items()}
    stored = {
        f"base_model.model.{name}": tensor
        for name, tensor in model.state_dict().items()
        if not name.startswith("classifier.")
    }
    prefix = "base_model.model.classifier"
    stored |= {f"{prefix}.original_module.{name}": t for name, t in model.classifier.state_dict().items()}
    stored |= {f"{prefix}.modules_to_save.default.{name}": tensor for name, tensor in copy.items()}
    write(folder, stored)
    loaded = load(folder)
    assert torch.equal(loaded.model.head.output.weight, copy["weight"])
    assert loaded.changes == (
        "taken off the tensors' names: base_model.model.",
        "of classifier: the copy that PEFT trained is used",
    )


def test_biases_that_peft_saved_twice_count_once() -> None:
    head = "base_model.model.classifier"
    names = (f"{head}.dense.bias", f"{head}.modules_to_save.default.dense.bias", f"{head}.original_module.dense.bias")
    stored = under_own_names({name: torch.full((1,), number) for number, name in enumerate(names)}, Path("file"))
    assert stored.tensors == {"classifier.dense.bias": torch.zeros(1)}


def test_an_adapter_that_was_not_merged_is_refused_with_the_way_out(folder: Path) -> None:
    edit(folder, lambda t: t.update({"bert.encoder.layer.0.attention.self.query.lora_A.default.weight": torch.ones(2)}))
    message = refusal(folder)
    assert "is part of a LoRA adapter that was not merged; put its adapter_config.json beside the weights" in message
    assert "merge_and_unload()" in message


class TestSeveralOfOneName:
    @pytest.fixture
    def twice(self, model: Model, folder: Path) -> Path:
        """A student and its teacher, with other weights, in one file."""
        return both(folder, model, "student.", "teacher.")

    def test_two_encoders_are_refused_with_the_option_that_helps(self, twice: Path) -> None:
        assert refusal(twice) == (
            f"{twice}/model.safetensors: holds several encoders, below student.bert., teacher.bert.; leave out all but "
            "one, for example with --ignore-weights 'teacher.*'"
        )

    def test_the_option_that_is_named_helps(self, twice: Path, model: Model) -> None:
        loaded = load(twice, "teacher.*")
        assert torch.equal(loaded.model.head.output.weight, model.classifier.weight)
        assert loaded.changes[0] == "taken off the tensors' names: student."

    @pytest.mark.parametrize(
        ("first", "second", "pattern"),
        [
            ("", "ema.", "ema.*"),
            ("", "a.b.", "a.b.*"),
            ("model.", "model_ema.", "model_ema.*"),
            ("state_dict.", "grads.", "grads.*"),
            ("model.", "ema.", "ema.*"),
            ("model.", "model.ema.", "model.ema.*"),
            ("state_dict.model.", "state_dict.teacher.", "state_dict.teacher.*"),
            ("pupil.", "optimizer_state.", "optimizer_state.*"),
            ("module.", "module.ema.module.", "module.ema.module.*"),
        ],
    )
    def test_the_copy_is_named_and_not_the_model(
        self, first: str, second: str, pattern: str, model: Model, folder: Path
    ) -> None:
        both(folder, model, first, second)
        assert refusal(folder).endswith(f"--ignore-weights '{pattern}'")
        assert torch.equal(load(folder, pattern).model.head.output.weight, model.classifier.weight)

    def test_where_names_do_not_tell_both_ways_are_named(self, model: Model, folder: Path) -> None:
        write(folder, {f"{who}.{name}": t for who in ("first", "second") for name, t in model.state_dict().items()})
        assert refusal(folder).endswith(
            "leave out all but the one to serve: --ignore-weights 'first.*' or --ignore-weights 'second.*'"
        )

    def test_of_three_two_are_named(self, model: Model, folder: Path) -> None:
        who = ("ema", "model", "teacher")
        write(folder, {f"{name}.{own}": t for name in who for own, t in model.state_dict().items()})
        assert refusal(folder).endswith("with --ignore-weights 'ema.*' --ignore-weights 'teacher.*'")
        assert load(folder, "ema.*", "teacher.*")

    def test_two_tensors_of_one_name_are_refused(self, folder: Path) -> None:
        edit(folder, lambda tensors: tensors.update({"module.classifier.bias": torch.ones(3)}))
        assert "module.classifier.bias are both classifier.bias; leave one of them out" in refusal(folder)


class TestIgnoredWeights:
    def test_an_extra_head_is_left_out_and_told(self, folder: Path) -> None:
        edit(folder, lambda tensors: tensors.update({"score.weight": torch.ones(3), "score.bias": torch.ones(3)}))
        assert "unexpected: score.bias" in refusal(folder)
        assert load(folder, "score.*").changes == ("left out with --ignore-weights: score.bias, score.weight",)

    @pytest.mark.parametrize("pattern", ["model.score.*", "score.*"], ids=["as in the file", "as in the messages"])
    def test_a_pattern_fits_either_name(self, pattern: str, model: Model, folder: Path) -> None:
        tensors = model.state_dict() | {"score.weight": torch.ones(3)}
        write(folder, {f"model.{name}": tensor for name, tensor in tensors.items()})
        assert load(folder, pattern).unused == ["bert.pooler.bias", "bert.pooler.weight"]

    def test_what_does_not_fit_is_told_with_what_was_taken_off(self, model: Model, folder: Path) -> None:
        tensors = model.state_dict() | {"score.weight": torch.ones(3)}
        write(folder, {f"model.{name}": tensor for name, tensor in tensors.items()})
        assert refusal(folder) == (
            "the weights do not fit the configuration:\n"
            "  unexpected: score.weight\n"
            "  leave out what the answers do not need with `bigbird export --ignore-weights PATTERN`\n"
            "  taken off the tensors' names: model."
        )

    def test_a_pattern_that_fits_nothing_is_refused(self, folder: Path) -> None:
        assert "--ignore-weights 'scores.*' fits no tensor" in refusal(folder, "scores.*")

    def test_what_is_needed_is_missed_still(self, folder: Path) -> None:
        assert "missing: classifier.bias [3]" in refusal(folder, "classifier.bias")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("loss_fct.weight", id="weights of the classes in the loss"),
        pytest.param("criterion.ce.weight", id="a loss within a loss"),
        pytest.param("class_weights", id="weights of the classes"),
        pytest.param("n_averaged", id="how many models were averaged"),
        pytest.param("norm.num_batches_tracked", id="a counter of batches"),
    ],
)
def test_what_only_training_needs_is_left_out_and_told(name: str, folder: Path) -> None:
    edit(folder, lambda tensors: tensors.update({name: torch.ones(3)}))
    assert load(folder).changes == (f"left out, of the training only: {name}",)


def test_a_parameter_that_changes_the_answers_is_no_leftover(folder: Path) -> None:
    edit(folder, lambda tensors: tensors.update({"crf.transitions": torch.ones(3), "temperature": torch.ones(1)}))
    assert "unexpected: crf.transitions\n  unexpected: temperature" in refusal(folder)


STATES: dict[str, Callable[[Tensors], object]] = {
    "state_dict, with an epoch": lambda tensors: {"state_dict": tensors, "epoch": 3},
    "model, with an optimizer": lambda tensors: {
        "model": tensors,
        "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 1e-3, "params": [0]}]},
        "rng_state": torch.get_rng_state(),
        "metrics": {"accuracy": torch.tensor(0.5)},
    },
    "model_state_dict, of a compiled model": lambda tensors: {
        "model_state_dict": OrderedDict((f"_orig_mod.{name}", tensor) for name, tensor in tensors.items()),
        "best": 0.9,
    },
    "weights of classes, a loss and measured vectors beside it": lambda tensors: {
        "model_state_dict": tensors,
        "loss": torch.tensor(0.4),
        "class_weights": torch.ones(3),
        "metrics": {"f1": torch.tensor([0.3, 0.4])},
    },
    "two levels, as torch.distributed.checkpoint": lambda tensors: {"app": {"model": dict(tensors)}, "step": 7},
    "encoder and head apart": lambda tensors: {
        "encoder": {name.removeprefix("bert."): t for name, t in tensors.items() if name.startswith("bert.")},
        "classifier": {name.removeprefix("classifier."): t for name, t in tensors.items() if "classifier" in name},
    },
}


@pytest.mark.parametrize("case", STATES)
def test_what_torch_save_put_around_the_weights_is_taken_off(case: str, saved: Path, folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(STATES[case](tensors), folder / "pytorch_model.bin")
    loaded = load(folder)
    plain = load(saved).model.state_dict()
    assert all(torch.equal(plain[name], tensor) for name, tensor in loaded.model.state_dict().items())
    assert loaded.changes


def test_what_stands_beside_the_weights_is_named(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save({"state_dict": tensors, "epoch": 3, "lr": 0.1}, folder / "pytorch_model.bin")
    assert load(folder).changes == (
        "pytorch_model.bin: only the weights are used, not 'epoch', 'lr'",
        "taken off the tensors' names: state_dict.",
    )
