"""Small tokenizers as the `tokenizers` library and transformers write them, trained here on a few sentences."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

BERT_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
BIGBIRD_TOKENS = ["<pad>", "</s>", "<s>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]

SENTENCES = [
    "Alice Smith leads the Acme project in New York since March 2024.",
    "The budget of project Borealis is 2.5 million euros, said Bob Jones; who'd have thought?",
    "Zürich, München and São Paulo are cities; naïve café résumé coöperate façade.",
    "한국어 문장을 토큰으로 나눕니다. 서울은 대한민국의 수도이고 부산은 항구 도시입니다.",
    "모델은 긴 문서를 읽고 질문에 답합니다. 세종대왕이 한글을 만들었다.",
    "北京 and 東京 too; これはペンです。",
]


def _frame(cls: str, sep: str, tokenizer: Tokenizer) -> processors.TemplateProcessing:
    return processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} $B:1 {sep}:1",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in (cls, sep)],
    )


def word_piece(*, lowercase: bool = True, size: int = 400) -> Tokenizer:
    """A BERT vocabulary, as of KoBigBird."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=BERT_TOKENS, show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.post_processor = _frame("[CLS]", "[SEP]", tokenizer)
    return tokenizer


def dna(size: int = 300) -> Tokenizer:
    """A byte-pair vocabulary of four letters, as of GENA-LM: whole sequences, without words."""
    chance = random.Random(5)
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=BERT_TOKENS, show_progress=False)
    tokenizer.train_from_iterator(("".join(chance.choices("ACGT", k=200)) for _ in range(200)), trainer)
    tokenizer.post_processor = _frame("[CLS]", "[SEP]", tokenizer)
    return tokenizer


def byte_level(size: int = 400) -> Tokenizer:
    """A byte-level vocabulary, as of RoBERTa."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), True, True)
    return tokenizer


def unigram(*before: normalizers.Normalizer, size: int = 300) -> Tokenizer:
    """A Unigram vocabulary as transformers 5 has BigBird's, perhaps with normalisers before its own."""
    tokenizer = Tokenizer(models.Unigram())
    spaces = [normalizers.Strip(left=False, right=False), normalizers.Replace(Regex(" {2,}"), "\u2581")]
    tokenizer.normalizer = normalizers.Sequence([*before, *spaces])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=size, special_tokens=BIGBIRD_TOKENS, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES * 4, trainer)
    tokenizer.post_processor = _frame("[CLS]", "[SEP]", tokenizer)
    return tokenizer


KINDS: dict[str, Callable[[], Tokenizer]] = {
    "WordPiece": word_piece,
    "cased WordPiece": lambda: word_piece(lowercase=False),
    "BPE for DNA": dna,
    "byte-level BPE": byte_level,
    "Unigram": unigram,
    "Unigram with NFKC": lambda: unigram(normalizers.NFKC(), normalizers.Lowercase()),
}


def save(tokenizer: Tokenizer, folder: Path, **settings: Any) -> Path:
    """Write `tokenizer.json` and `tokenizer_config.json` as transformers reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **settings}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder / "tokenizer.json"


_ALPHABET = (
    list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ACGTACGTACGT")
    + list(" .,;:!?'\"()[]<>-_/#@&%$*+=|~`^{}\\")
    + list("äöüßéèçñåøÅÖÉİıſﬁﬂﬃ½²³①ⅣＡｂ１！…–—“”‚€№™℃")
    + list("е́жщЯΣίσυφοςשלוםمرحباकिสวัสดี한글서울의다를김똠北京東京これペンカタﾊﾞｶﾞ")
    + ["́", "̈", "̣", "é", "ạ́", "한", "\u200d", "\u200b", "\ufeff", "\xad"]
    + ["👩\u200d🔬", "👍🏽", "❤️", "🇩🇪", "𝔘"]
    + ["\t", "\n", "\r\n", "\x00", "\x07", "\x7f", "\x85", "\xa0", "\u3000", "\u2028", "▁", "�", "ㅤ", "\ue000", "𠀀"]
)


def mixed_strings(count: int, seed: int, control: tuple[str, ...] = ()) -> list[str]:
    """Draw strings of many scripts, and of the sentences' words, with spaces at their ends and without."""
    chance = random.Random(seed)
    words = [word for sentence in SENTENCES for word in sentence.split()]
    texts = []
    while len(texts) < count:
        parts = []
        for _ in range(chance.randrange(1, 6)):
            draw = chance.random()
            if draw < 0.55:
                parts.append(" ".join(chance.choices(words, k=chance.randrange(1, 4))))
            elif draw < 0.95:
                parts.append("".join(chance.choices(_ALPHABET, k=chance.randrange(1, 8))))
            else:
                parts.append("".join(chance.choices("ACGT", k=chance.randrange(1, 40))))
            parts.append(chance.choice(["", " ", "  ", "\n"]))
        text = chance.choice(["", "", " ", "  "]) + "".join(parts)
        if not any(token in text for token in control):
            texts.append(text)
    return texts
