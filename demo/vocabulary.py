"""Trains the SentencePiece vocabulary that the three demo checkpoints share.

Numbers are cut into digits, so that every date and sum is made of well-known pieces. Characters the vocabulary does not
hold are encoded as bytes: no input is lost. The control pieces never match text.
"""

import random
from io import BytesIO
from pathlib import Path

import sentencepiece

from demo.english import english_sentences
from demo.names import FIRST_NAMES, LAST_NAMES, ORGANISATION_STEMS, PLACES, PROJECT_WORDS
from demo.reports import generate_report

PAD, END, BEGIN, UNKNOWN, CLASSIFY, SEPARATOR, MASK = range(7)

_LARGE = 20_000_000
_CHARACTERS_KEPT = (
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõöøùúûüýþÿąćęłńśźżčďěňřšťůžőűğışŁŚŽŠČ"
    "€£¥°§%&@#+=<>*/\\|_~^`{}[]"
)


def train_vocabulary(path: Path, *, size: int, reports: int = 12_000, seed: int = 0) -> None:
    """Write a SentencePiece byte-pair model of ``size`` pieces, trained on generated reports and ordinary English.

    Args:
        path: The file to write.
        size: The number of pieces, control pieces and the 256 bytes included.
        reports: How many reports the vocabulary is trained on.
        seed: Where the reports' seeds start and what the English sentences are drawn with.
    """
    model = BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(_corpus(reports, seed)),
        model_writer=model,
        vocab_size=size,
        model_type="bpe",
        normalization_rule_name="nmt_nfkc",
        byte_fallback=True,
        split_digits=True,
        character_coverage=0.9999,
        required_chars=_CHARACTERS_KEPT,
        pad_id=PAD,
        eos_id=END,
        bos_id=BEGIN,
        unk_id=UNKNOWN,
        pad_piece="<pad>",
        control_symbols=["[CLS]", "[SEP]", "[MASK]"],
        num_threads=2,
        shuffle_input_sentence=False,
        input_sentence_size=_LARGE,
        minloglevel=2,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.getvalue())


def _corpus(reports: int, seed: int) -> list[str]:
    lines: list[str] = []
    for number in range(reports):
        report = generate_report(seed + number, 150)
        lines += [line for line in report.text.splitlines() if line]
        lines += [question.text for question in report.questions]
    rng = random.Random(seed)
    lines += english_sentences(3 * reports, rng)
    names = [*FIRST_NAMES, *LAST_NAMES, *ORGANISATION_STEMS, *PLACES, *PROJECT_WORDS]
    for _ in range(20):
        lines += rng.sample(names, len(names))
    return lines
