"""Added words, kept pieces and a tokenizer from elsewhere: exported, checked again and served by the command line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from click.testing import CliRunner

from bigbird_cli.main import main
from bigbird_inference.bundle import open_bundle
from bigbird_inference.runtime.session import Batch
from bigbird_inference.tokenization.tokenizer import Tokenizer
from tests.model_export.exported_models import open_graphs
from tests.model_export.reference_models import Document, Reference, make_config, make_model
from tests.vocabularies import train_vocabulary

pytestmark = pytest.mark.integration

TEXT = "The budget of Borealis is 2.5 million euros <row> for the office in Paris, <cn> [SEP] said Bob"
WORDS = ["Borealis", "Paris"]


def run(*arguments: str) -> str:
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path, transformers.PreTrainedModel, str]:
    """Return checkpoint, tokenizer and bundle, the model in transformers, and what the export printed."""
    folder = tmp_path_factory.mktemp("added")
    symbols = ["[CLS]", "[SEP]", "[MASK]", "<s>", "</s>", "<row>", "<cn>"]
    file = train_vocabulary(
        folder / "spiece", vocab_size=220, normalization_rule_name="identity", user_defined_symbols=symbols
    )
    (folder / "tokenizer").mkdir()
    shutil.copy(file, folder / "tokenizer" / "spiece.model")
    (folder / "tokenizer" / "config.json").write_text('{"model_type": "big_bird"}')
    size = len(transformers.BigBirdTokenizer.from_pretrained(folder / "tokenizer"))
    added = {word: size + place for place, word in enumerate(WORDS)}
    (folder / "tokenizer" / "added_tokens.json").write_text(json.dumps(added))
    fields = {"hidden_size": 64, "num_attention_heads": 4, "num_labels": 8, "attention_type": "original_full"}
    model = make_model("classify", make_config(size, max_position_embeddings=64, **fields))
    with torch.no_grad():
        model.resize_token_embeddings(size + len(WORDS), mean_resizing=False)
        model.bert.embeddings.word_embeddings.weight[size:].normal_(generator=torch.Generator().manual_seed(1))
    model.save_pretrained(folder / "checkpoint")
    given = ("--tokenizer", str(folder / "tokenizer"), "--text-pieces", "<row>", "--text-pieces", "<row>,<cn>")
    printed = run("export", str(folder / "checkpoint"), "--output", str(folder / "bundle"), *given)
    return folder / "checkpoint", folder / "tokenizer", folder / "bundle", model, printed


Exported = tuple[Path, Path, Path, transformers.PreTrainedModel, str]


def test_the_bundles_logits_of_a_text_are_those_of_transformers(exported: Exported) -> None:
    _, tokenizer, folder, model, _ = exported
    bundle = open_bundle(folder)
    assert [token.content for token in bundle.manifest.tokenizer.added_tokens] == WORDS
    own = Tokenizer.from_bundle(bundle)
    found = own.tokenize(TEXT)
    theirs = transformers.BigBirdTokenizer.from_pretrained(tokenizer)
    ordinary = TEXT.replace(" [SEP]", "")
    ids = theirs(ordinary, add_special_tokens=False)["input_ids"]
    assert own.tokenize(ordinary).ids.tolist() == ids
    assert {theirs.convert_tokens_to_ids(piece) for piece in ("<row>", "<cn>", *WORDS)} <= set(found.ids.tolist())
    assert own.sep_id not in found.ids
    sequence = own.single(np.array(ids))
    expected = Reference(model).alone(Document(sequence.input_ids, sequence.token_type_ids))
    assert expected.std() > 0.5
    (session,) = open_graphs(folder).values()
    ids, types = (np.pad(row, (0, 64 - len(sequence)))[None] for row in (sequence.input_ids, sequence.token_type_ids))
    mask = (np.arange(64) < len(sequence)).astype(np.int64)[None]
    (logits,) = session.run(Batch(ids, mask, types)).values()
    np.testing.assert_allclose(logits[0], expected, atol=1e-4, rtol=0)


def test_the_export_says_what_it_took_and_the_manifest_keeps_it(exported: Exported) -> None:
    _, tokenizer, folder, _, printed = exported
    line = f"the tokenizer is that of {tokenizer}, given with --tokenizer"
    printed = " ".join(printed.split())
    assert line in printed
    assert "tokenizer spiece.model and 2 added tokens ('Borealis', 'Paris')" in printed
    assert open_bundle(folder).manifest.source.changes == [line]


def test_the_bundle_is_checked_again_with_the_same_option(exported: Exported) -> None:
    checkpoint, tokenizer, folder, _, _ = exported
    arguments = ("inspect", str(folder), "--check", "--checkpoint", str(checkpoint))
    printed = run(*arguments, "--tokenizer", str(tokenizer))
    assert "SentencePiece and 2 added tokens ('Borealis', 'Paris')" in printed
    refused = CliRunner().invoke(main, list(arguments))
    assert refused.exit_code == 1
    assert "spiece.model: missing" in refused.output and "--tokenizer" in refused.output
