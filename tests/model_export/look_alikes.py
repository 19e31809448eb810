"""Small checkpoints with the files, names, tokenizers and heads of public ones, and the models that were saved in them.

None of the public ones can be had here. Each look-alike stands for a shape of repository: what a library left in it.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
import tokenizers
import torch
import transformers
from tokenizers import models, normalizers, pre_tokenizers, trainers
from torch import nn

from tests.model_export.checkpoints.flax_packing import packed_model
from tests.model_export.checkpoints.saved_tokenizers import as_transformers_4, write_json
from tests.model_export.reference_models import make_config, make_model, train_spiece_model

Model = transformers.PreTrainedModel
BERT_TOKENS = {f"{role}_token": f"[{role.upper()}]" for role in ("unk", "sep", "pad", "cls", "mask")}


@dataclass(frozen=True, slots=True)
class LookAlike:
    """A shape of repository.

    Attributes:
        like: The id of a public checkpoint that has it, by which the look-alike stands on the local hub.
        task: Of the checkpoint.
        make: Writes the files into an empty folder, and returns the model.
        options: Of `bigbird export`.
    """

    like: str
    task: str
    make: Callable[[Path], Model]
    options: tuple[str, ...] = ()


def bin_and_spiece(folder: Path) -> Model:
    """`pytorch_model.bin`, `spiece.model`, sixteen token types; long enough for block-sparse attention."""
    return _save_bin(_model("qa", _spiece(folder), type_vocab_size=16, max_position_embeddings=160), folder)


def safetensors_and_tokenizer_json(folder: Path) -> Model:
    """`model.safetensors`; `tokenizer.json` alone, as transformers 4 wrote it."""
    return _save(_model("ner", _tokenizer_json(folder), id2label={0: "O", 1: "B-NAME", 2: "I-NAME"}), folder)


def shards(folder: Path) -> Model:
    """Weights in several files, with an index."""
    model = _model("classify", _spiece(folder), id2label={0: "passage", 1: "phrase", 2: "multi"})
    return _save(model, folder, max_shard_size="100KB")


def flax(folder: Path) -> Model:
    """`flax_model.msgpack` alone."""
    model = _model("classify", _spiece(folder), id2label={0: "calm", 1: "glad"})
    _save_config(model, folder)
    (folder / "flax_model.msgpack").write_bytes(packed_model(model.state_dict()))
    return model


def pre_training(folder: Path) -> Model:
    """Both heads of pre-training, `spiece.model` with a `tokenizer.json` of its own, LayerNorm.gamma and .beta."""
    size = _tokenizer_json(folder)
    _spiece(folder)
    return _save_bin(_model("next-sentence", size), folder, rename=_old_norm)


def _old_norm(name: str) -> str:
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")


def labels_without_names(folder: Path) -> Model:
    """An entity model whose labels are LABEL_0 and so on."""
    return _save_bin(_model("ner", _spiece(folder), num_labels=4), folder)


def bare_encoder(folder: Path) -> Model:
    """An encoder saved by itself: names without `bert.`."""
    return _save_bin(_model("embed", _spiece(folder)), folder)


def choices(folder: Path) -> Model:
    """Multiple choice."""
    return _save(_model("multiple-choice", _tokenizer_json(folder)), folder)


def decoder(folder: Path) -> Model:
    """A decoder, with a `generation_config.json`."""
    fields = {"is_decoder": True, "attention_type": "original_full", "eos_token_id": 2}
    return _save(_model("generate", _spiece(folder), **fields), folder)


def no_tokenizer(folder: Path) -> Model:
    """Weights and configuration, and nothing else."""
    model = labels_without_names(folder)
    (folder / "spiece.model").unlink()
    return model


def no_id2label(folder: Path) -> Model:
    """Two labels, which transformers does not write down."""
    return _save_bin(_model("classify", _spiece(folder), num_labels=2), folder)


def wordpiece(folder: Path) -> Model:
    """`vocab.txt` and `tokenizer.json` of BERT's kind, other ids of the special tokens."""
    tokenizer = _wordpiece(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return _save(_model("fill-mask", tokenizer.get_vocab_size(), sep_token_id=3, pad_token_id=0), folder)


def vocab_txt(folder: Path) -> Model:
    """`vocab.txt` alone."""
    size = _wordpiece(folder).get_vocab_size()
    return _save_bin(_model("fill-mask", size, sep_token_id=3, pad_token_id=0, hidden_act="gelu"), folder)


def byte_pairs(folder: Path) -> Model:
    """`tokenizer.json` of BPE for DNA; the special tokens stand in `special_tokens_map.json` alone."""
    tokenizer = tokenizers.Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    trainer = trainers.BpeTrainer(vocab_size=80, special_tokens=special, show_progress=False)
    letters = np.random.default_rng(1).choice(list("ACGTN"), 4000, p=[0.3, 0.2, 0.2, 0.29, 0.01])
    tokenizer.train_from_iterator(["".join(letters[start : start + 50]) for start in range(0, 4000, 50)], trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    (folder / "special_tokens_map.json").write_text(json.dumps(BERT_TOKENS))
    return _save_bin(_model("fill-mask", tokenizer.get_vocab_size(), pad_token_id=3), folder)


def natural_questions(folder: Path) -> Model:
    """A category head on the pooled output, beside start and end."""
    model = _model("qa", _spiece(folder))
    model.bert.pooler = nn.Linear(model.config.hidden_size, model.config.hidden_size)
    model.bert.activation = nn.Tanh()
    model.cls = nn.Linear(model.config.hidden_size, 5)
    with torch.no_grad():
        for parameter in (*model.bert.pooler.parameters(), *model.cls.parameters()):
            parameter.normal_(std=0.2, generator=torch.Generator().manual_seed(7))
    return _save_bin(model, folder)


def added_words(folder: Path) -> Model:
    """Two rows more than the vocabulary has pieces, whose words stand in `added_tokens.json`."""
    size = _spiece(folder)
    (folder / "added_tokens.json").write_text(json.dumps({"Borealis": size, "leaseholder": size + 1}))
    return _save_bin(_model("ner", size + 2, id2label={0: "C", 1: "O", 2: "W"}), folder)


SHAPES = [
    LookAlike("google/bigbird-base-trivia-itc", "qa", bin_and_spiece),
    LookAlike("vasudevgupta/bigbird-roberta-natural-questions", "qa", natural_questions),
    LookAlike("vedantM/BigBird-PII", "ner", safetensors_and_tokenizer_json),
    LookAlike("someone/shards", "classify", shards),
    LookAlike("flax-community/pino-bigbird-roberta-base", "classify", flax),
    LookAlike("google/bigbird-roberta-base", "fill-mask", pre_training, ("--task", "fill-mask")),
    LookAlike("vumichien/token-classification-bigbird-roberta-base-random", "ner", labels_without_names),
    LookAlike("KnutJaegersberg/bigbird-dolphin-prompt-completion-embeddings", "embed", bare_encoder),
    LookAlike("daze-unlv/google-bigbird-roberta-base", "multiple-choice", choices),
    LookAlike("radic2682/bigBird-base-fine-tuning-squad-B64", "generate", decoder),
    LookAlike("monologg/kobigbird-bert-base", "fill-mask", wordpiece),
    LookAlike("SajjadAyoubi/distil-bigbird-fa-zwnj", "fill-mask", vocab_txt),
    LookAlike("AIRI-Institute/gena-lm-bigbird-base-t2t", "fill-mask", byte_pairs),
    LookAlike("vumichien/sequence-classification-bigbird-roberta-base", "classify", no_id2label),
    LookAlike("ucabqfe/bigBird_AAE_bio", "ner", no_tokenizer, ("--tokenizer", "google/bigbird-roberta-base")),
    LookAlike("Deojoandco/capstone_hal_with_gold", "ner", added_words),
]


def _model(task: str, vocab_size: int, **fields: Any) -> Model:
    sizes = {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128, "max_position_embeddings": 112}
    return make_model(task, make_config(vocab_size, **{**sizes, **fields}))


def _save(model: Model, folder: Path, **options: Any) -> Model:
    model.save_pretrained(folder, **options)
    return model


def _save_bin(model: Model, folder: Path, rename: Callable[[str], str] = str) -> Model:
    _save_config(model, folder)
    torch.save({rename(name): tensor for name, tensor in model.state_dict().items()}, folder / "pytorch_model.bin")
    return model


def _save_config(model: Model, folder: Path) -> None:
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)


def _spiece(folder: Path) -> int:
    model = sentencepiece.SentencePieceProcessor(model_file=str(train_spiece_model(folder)))
    (folder / "spiece.vocab").unlink()
    return int(model.get_piece_size())


def _tokenizer_json(folder: Path) -> int:
    size = _spiece(folder)
    write_json(folder, as_transformers_4(folder / "spiece.model"))
    (folder / "spiece.model").unlink()
    return size


def _wordpiece(folder: Path) -> tokenizers.Tokenizer:
    letters = [*"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,?!-()", *"서울에만난사람은누구입니까"]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "lead", "##s", "the", "project", "사람", "##에서", "##은"]
    pieces = [*words, *letters, *(f"##{letter}" for letter in letters)]
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in dict.fromkeys(pieces)), encoding="utf-8")
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": False, "strip_accents": None, **BERT_TOKENS}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens([f"[{name}]" for name in ("PAD", "UNK", "CLS", "SEP", "MASK")])
    return tokenizer
