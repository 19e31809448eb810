"""LoRA adapters of PEFT against what PEFT's own model answered, not merged (`tests/fixtures/make_adapters.py`)."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from model_export.checkpoints import hub, lora
from model_export.checkpoints.checkpoint import CheckpointOptions, LoadedCheckpoint
from model_export.checkpoints.files import check_folder
from model_export.checkpoints.recognise import read_checkpoint
from model_export.errors import CheckpointError
from model_export.patterns.registry import get_pattern
from model_export.pipeline import export_checkpoint
from model_export.preparation import ExportOptions
from model_export.reverify import verify_bundle
from tests.model_export.checkpoints.exported_fixtures import FIXTURES, TOLERANCE, export_fixture

PATTERN = get_pattern("transformers")
BASE = FIXTURES / "pytorch" / "pre-training"


@pytest.mark.parametrize("name", ["classify", "qa"])
def test_a_merged_adapter_answers_as_peft_does(name: str, tmp_path: Path) -> None:
    merged = export_fixture(FIXTURES / "lora" / name, None, {"logits": "logits"}, tmp_path, whole=False)
    assert (merged.task, merged.kind) == (name, "pytorch+lora")
    differences = merged.differences()
    assert {attention for attention, _ in differences} == {"full", "block_sparse"}
    assert max(differences.values()) <= TOLERANCE, differences
    assert min(float(merged.reference[f"{kind}/logits"].std()) for kind, _ in differences) > 0.5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the classifier's adapter, away from its base."""
    return Path(shutil.copytree(FIXTURES / "lora" / "classify", tmp_path / "adapter"))


@pytest.fixture
def config(folder: Path) -> Callable[..., None]:
    def edit(**fields: Any) -> None:
        file = folder / "adapter_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | fields))

    edit(base_model_name_or_path=str(BASE))
    return edit


def load(folder: Path, **options: Any) -> LoadedCheckpoint:
    return read_checkpoint(folder, CheckpointOptions(**options)).load(PATTERN)


def refusal(folder: Path, **options: Any) -> str:
    with pytest.raises(CheckpointError) as refused:
        load(folder, **options)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load(folder).model.state_dict()


EXPECTED = load(FIXTURES / "lora" / "classify")


def is_expected(loaded: LoadedCheckpoint) -> bool:
    own = loaded.model.state_dict()
    return all(torch.equal(own[name], tensor) for name, tensor in EXPECTED.model.state_dict().items())


def test_what_was_merged_is_told() -> None:
    lines = EXPECTED.changes
    assert lines[0] == "the LoRA adapter is merged into its base, '../../pytorch/pre-training'"
    assert "merged from the LoRA adapter: 5 layers" in lines
    assert any(line.startswith("from the adapter in place of the base's: classifier.dense.bias, ") for line in lines)


class TestTheBase:
    def test_is_found_from_the_working_folder(self, folder: Path, config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(BASE.parent)
        config(base_model_name_or_path="pre-training")
        assert is_expected(load(folder))

    def test_is_found_on_the_hub(self, folder: Path, config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[str] = []

        def resolve(name: str) -> Path:
            asked.append(name)
            return BASE

        monkeypatch.setattr(lora, "resolve", resolve)
        config(base_model_name_or_path="someone/base", revision="v2")
        assert is_expected(load(folder))
        assert asked[0] == "someone/base@v2"

    def test_that_is_given_wins(self, folder: Path, config: Any) -> None:
        config(base_model_name_or_path="someone/base", revision="v2")
        assert is_expected(load(folder, base=str(BASE)))

    def test_that_is_not_at_hand_is_refused_with_both_ways_out(
        self, folder: Path, config: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def resolve(name: str) -> Path:
            raise CheckpointError(f"{name}: is not a folder, and the hub has no such model, or it is private")

        monkeypatch.setattr(lora, "resolve", resolve)
        config(base_model_name_or_path="someone/base")
        message = refusal(folder)
        assert message.startswith(f"{folder}: is an adapter, and its base someone/base: is not a folder, and the hub")
        assert "; give the base with --base FOLDER_OR_ID, or merge it in Python and save the result: " in message

    @pytest.mark.parametrize("named", [None, "", 7, "/no/such/folder", "/" + "x" * 400, "a\0b", "x" * 9999])
    def test_that_is_not_named_is_refused(self, named: object, folder: Path, config: Any) -> None:
        config(base_model_name_or_path=named)
        assert "--base FOLDER_OR_ID" in refusal(folder)

    def test_is_for_adapters_only(self) -> None:
        assert "is not a LoRA adapter; --base is for those" in refusal(BASE, base=str(BASE))


def test_tokenizer_and_configuration_of_the_adapter_come_first(folder: Path, config: Any) -> None:
    shutil.copy(BASE / "config.json", folder)
    shutil.copy(BASE / "spiece.model", folder)
    checkpoint = read_checkpoint(folder)
    assert (checkpoint.files[0], checkpoint.files[-1]) == (folder / "config.json", folder / "spiece.model")
    assert is_expected(checkpoint.load(PATTERN))


def test_an_adapter_beside_the_weights_of_a_whole_model_belongs_to_them(folder: Path, config: Any) -> None:
    config(base_model_name_or_path="someone/else")
    for file in BASE.iterdir():
        if file.name != "reference.npz":
            shutil.copy(file, folder)
    assert is_expected(load(folder))


def test_the_state_of_a_whole_model_with_its_adapter_is_merged(folder: Path, config: Any) -> None:
    # As `torch.save(model.state_dict())` of a PEFT model: base layers, and matrices below the adapter's name.
    own = load_file(folder / "adapter_model.safetensors")
    base = torch.load(BASE / "pytorch_model.bin")
    adapted = {name.split(".lora_")[0].removeprefix("base_model.model.") for name in own if ".lora_" in name}
    state = {}
    for name, tensor in base.items():
        if not name.startswith("cls."):
            module, _, kind = name.rpartition(".")
            state[f"base_model.model.{module}{'.base_layer' if module in adapted else ''}.{kind}"] = tensor
    for name, tensor in own.items():
        renamed = name.replace(".weight", ".default.weight") if ".lora_" in name else name
        renamed = f"{name}.default" if ".lora_embedding_" in name else renamed
        state[renamed.replace(".classifier.", ".classifier.modules_to_save.default.")] = tensor
        if ".classifier." in name:
            state[name.replace(".classifier.", ".classifier.original_module.")] = torch.zeros_like(tensor)
    (folder / "adapter_model.safetensors").unlink()
    shutil.copy(BASE / "config.json", folder)
    shutil.copy(BASE / "spiece.model", folder)
    torch.save(state, folder / "pytorch_model.bin")
    assert is_expected(load(folder, task="classify"))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another kind of adapter": ({"peft_type": "IA3"}, "peft_type is 'IA3', and only LORA is merged here"),
    "no kind": ({"peft_type": None}, "peft_type is None"),
    "DoRA": ({"use_dora": True}, "has 'use_dora', and only plain LoRA is merged here"),
    "a beginning that changes the base": ({"init_lora_weights": "pissa"}, "has 'init_lora_weights'"),
    "repeated layers": ({"layer_replication": [[0, 2], [1, 2]]}, "has 'layer_replication'"),
    "what is not known yet": ({"use_something_new": True}, "has 'use_something_new'"),
    "another rank": ({"r": 4}, "r of bert.embeddings.word_embeddings is 4, but its matrices are of rank 2"),
    "an alpha of nothing": ({"lora_alpha": "x"}, "lora_alpha of"),
    "a pattern that would take for ever": (
        {"alpha_pattern": {"(.+)+x": 2}},
        "alpha_pattern: '(.+)+x' is too intricate; merge it in Python",
    ),
    "a pattern that is none": ({"alpha_pattern": {"(": 2}}, "alpha_pattern: '(' is not a pattern"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_plain_lora_is_refused_by_name(case: str, folder: Path, config: Any) -> None:
    fields, reason = REFUSED[case]
    config(**fields)
    message = refusal(folder)
    assert message.startswith(f"{folder}/adapter_config.json: ")
    assert reason in message


QUERY = "base_model.model.bert.encoder.layer.0.attention.self.query"
SPOILT: dict[str, tuple[Callable[[dict[str, torch.Tensor]], object], str]] = {
    "magnitudes of DoRA": (
        lambda t: t.update({f"{QUERY}.lora_magnitude_vector": torch.ones(32)}),
        "query.lora_magnitude_vector is not plain LoRA",
    ),
    "one matrix alone": (lambda t: t.pop(f"{QUERY}.lora_B.weight"), "do not belong together"),
    "matrices of another width": (
        lambda t: t.update({f"{QUERY}.lora_B.weight": torch.ones(31, 2)}),
        "query is changed by [31, 32], but its base is [32, 32]",
    ),
    "a layer that the base does not have": (
        lambda t: t.update({QUERY.replace("layer.0", "layer.7") + ".lora_A.weight": torch.ones(2, 32)}),
        "changes what its base does not have: bert.encoder.layer.7.attention.self.query.weight; give the base that it "
        "was trained on with --base, or merge it in Python",
    ),
    "two adapters": (
        lambda t: t.update({f"{QUERY}.lora_A.second.weight": torch.ones(2, 32)}),
        "holds several adapters",
    ),
}


@pytest.mark.parametrize("case", SPOILT)
def test_matrices_that_do_not_fit_are_refused(case: str, folder: Path, config: Any) -> None:
    change, reason = SPOILT[case]
    tensors = load_file(folder / "adapter_model.safetensors")
    change(tensors)
    save_file(tensors, folder / "adapter_model.safetensors")
    assert reason in refusal(folder)


class TestTiedToTheDecoder:
    """The base has no tensor of the decoder's own; PEFT wraps each of the two layers, which goes on alone."""

    WORDS = "bert.embeddings.word_embeddings"
    DECODER = "cls.predictions.decoder"

    @pytest.fixture
    def tied(self, folder: Path, config: Any, tmp_path: Path) -> Path:
        base = Path(shutil.copytree(BASE, tmp_path / "base"))
        tensors = torch.load(base / "pytorch_model.bin")
        del tensors[f"{self.DECODER}.weight"]
        torch.save(tensors, base / "pytorch_model.bin")
        config(base_model_name_or_path=str(base), rank_pattern={}, alpha_pattern={}, r=2, lora_alpha=8)
        return base

    @pytest.mark.parametrize("changed", [DECODER, WORDS], ids=["the decoder", "the word embeddings"])
    def test_only_the_layer_that_the_adapter_changes_is_changed(self, changed: str, folder: Path, tied: Path) -> None:
        words = torch.load(tied / "pytorch_model.bin")[f"{self.WORDS}.weight"].float()
        narrow, wide = torch.randn(2, words.shape[1]), torch.randn(words.shape[0], 2)
        matrices = {"lora_A.weight": narrow, "lora_B.weight": wide}
        if changed == self.WORDS:
            matrices = {"lora_embedding_A": wide.T.contiguous(), "lora_embedding_B": narrow.T.contiguous()}
        stored = {f"base_model.model.{changed}.{name}": tensor for name, tensor in matrices.items()}
        save_file(stored, folder / "adapter_model.safetensors")
        own = load(folder, task="fill-mask").model.state_dict()
        moved = words + 4 * wide @ narrow
        expected = (words, moved) if changed == self.DECODER else (moved, words)
        torch.testing.assert_close((own["embeddings.word.weight"], own["head.decoder_weight"]), expected)


def test_an_adapter_without_weights_is_refused(folder: Path, config: Any) -> None:
    (folder / "adapter_model.safetensors").unlink()
    assert "adapter_model.safetensors: missing; there is no adapter_model.bin either" in refusal(folder)


def test_a_base_that_got_more_tokens_is_resized(folder: Path, config: Any) -> None:
    # `resize_token_embeddings` before training, and `save_embedding_layers`: the whole matrix is in the adapter.
    tensors = load_file(folder / "adapter_model.safetensors")
    words = "base_model.model.bert.embeddings.word_embeddings"
    for side in "AB":
        del tensors[f"{words}.lora_embedding_{side}"]
    tensors[f"{words}.weight"] = torch.ones(80, 32)
    save_file(tensors, folder / "adapter_model.safetensors")
    loaded = load(folder)
    assert loaded.model.config.vocab_size == 80
    assert "vocab_size: is 74, but the weights have rows for 80 tokens" in loaded.changes


def test_what_was_said_at_export_is_known_when_the_bundle_is_verified_again(
    folder: Path, config: Any, tmp_path: Path
) -> None:
    tensors = load_file(folder / "adapter_model.safetensors")
    tensors["base_model.model.score.weight"] = torch.ones(2, 32)
    save_file(tensors, folder / "adapter_model.safetensors")
    config(base_model_name_or_path="no/such")
    options = ExportOptions(base=str(BASE), ignore_weights=("score.*",), buckets=(112,))
    manifest = export_checkpoint(folder, tmp_path / "bundle", options)
    assert (manifest.source.kind, manifest.source.base) == ("pytorch+lora", str(BASE))
    assert manifest.source.ignore_weights == ["score.*"]
    assert "left out with --ignore-weights: score.weight" in manifest.source.changes
    assert verify_bundle(tmp_path / "bundle", folder)[0].parity[0].max_abs_difference <= TOLERANCE


def test_the_folder_of_an_adapter_is_a_checkpoint_to_the_command(folder: Path) -> None:
    check_folder(folder)
    assert hub.resolve(str(folder)) == folder
