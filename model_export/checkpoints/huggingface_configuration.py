"""What the configuration of a checkpoint in the Hugging Face layout says beside the model's shape.

Which task it is for, where its training's random blocks and token types came from, and where generated texts end.
transformers names the first by a class and leaves the second and third to its own code; the fields for them are ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, get_args

from pydantic import TypeAdapter, ValidationError

from bigbird_inference.manifest import Note, PairTypes
from model_export.checkpoints.files import optional_file, read_json
from model_export.checkpoints.held_tasks import UNMISTAKABLE
from model_export.config import BigBirdConfig
from model_export.errors import CheckpointError, ConfigError, first_few
from model_export.patterns.registry import PATTERNS

GENERATION_FILE = "generation_config.json"

# Fields of our own. transformers has one pattern only, which needs no name.
PATTERN_FIELD = "random_block_pattern"
USUAL_PATTERN = "transformers"
PAIR_TYPES_FIELD = "pair_types"
NOTE_FIELD = "bigbird_serve_note"
# What becomes of a decoder that transformers would run in blocks.
_CAUSAL = (
    "attention_type: original_full, as this is a decoder: block_sparse has no causal mask in transformers, whose "
    "answers with it to long texts differ"
)
LABEL_FIELDS = ("id2label", "label2id", "num_labels")
"""Everything that it says of labels."""
_NOTE = TypeAdapter(Note)

# The task of an architecture, without a `Flax` before its name.
TASKS = {
    "BigBirdForQuestionAnswering": "qa",
    "BigBirdForNaturalQuestions": "qa",  # not in transformers; the weights tell whether its further head is there
    "BigBirdForSequenceClassification": "classify",
    "BigBirdForTokenClassification": "ner",
    "BigBirdForMaskedLM": "fill-mask",
    "BigBirdForPreTraining": "fill-mask",
    "BigBirdForMultipleChoice": "multiple-choice",
    "BigBirdForCausalLM": "generate",
    "BigBirdModel": "embed",
    "BertForQuestionAnswering": "qa",
    "BertForSequenceClassification": "classify",
    "BertForTokenClassification": "ner",
    "BertForMaskedLM": "fill-mask",
    "BertForPreTraining": "fill-mask",
    "BertForNextSentencePrediction": "next-sentence",
    "BertForMultipleChoice": "multiple-choice",
    "BertModel": "embed",
}
# They compute nothing: a head among their weights is that of the class which was trained.
_CLASSES_WITHOUT_HEAD = ("PreTrainedModel", "BigBirdPreTrainedModel", "BertPreTrainedModel")
_ENCODERS = ("BigBirdModel", "BertModel")
# transformers' tokenizer gives pairs no token types, so these are trained on zeros. Question answering makes them
# itself, and so does the data of next-sentence prediction.
_TRAINED_ON_ZEROS = ("classify", "multiple-choice")


def named_task(architectures: object) -> str | None:
    """Return the task of the first architecture that has one."""
    return next((TASKS[name] for name in _architectures(architectures) if name in TASKS), None)


def names_answer_types(architectures: object) -> bool:
    """Tell whether the configuration names the class that has a head for answer types."""
    return "BigBirdForNaturalQuestions" in _architectures(architectures)


def _architectures(named: object) -> list[str]:
    names = named if isinstance(named, list) else [] if named is None else [named]
    return [str(name).removeprefix("Flax") for name in names]


def task_of_weights(config_file: Path, architectures: object, held: Sequence[str]) -> tuple[str, str]:
    """Return the task that the weights have a head for, and why it is taken.

    It is taken where no class is named that might compute something else with the same weights, where there is no
    other head, and where no other class has tensors of these names.

    Args:
        config_file: For the message.
        architectures: The classes that it names.
        held: Tasks that the weights have a head for.

    Raises:
        CheckpointError: It is not certain; the message names the tasks that there are heads for.
    """
    named = _architectures(architectures)
    if len(held) == 1 and held[0] in UNMISTAKABLE and all(name in _CLASSES_WITHOUT_HEAD for name in named):
        return held[0], "its head is the only one among the weights, and architectures names no task"
    choices = [*held, "embed"] if not held or any(name in named for name in _ENCODERS) else held
    found = f"the weights have a head for {', '.join(held)}" if held else "the weights have no head that is known"
    raise CheckpointError(
        f"{config_file}: architectures {named!r:.80} name no task, and {found}; give one with --task "
        f"{'|'.join(choices)}"
    )


def pattern(config_file: Path, values: Mapping[str, Any]) -> str:
    """Return the pattern that the weights belong to; transformers names none."""
    name = values.get(PATTERN_FIELD, USUAL_PATTERN)
    if name not in tuple(PATTERNS):
        raise ConfigError(f"{config_file}: {PATTERN_FIELD}: {name!r:.80} is not one of {', '.join(PATTERNS)}")
    return str(name)


def pair_types(config_file: Path, values: Mapping[str, Any], task: str) -> PairTypes:
    """Return the token types of pairs that a checkpoint was trained with."""
    named = values.get(PAIR_TYPES_FIELD)
    if named is not None:
        if named not in get_args(PairTypes):
            raise ConfigError(f"{config_file}: {PAIR_TYPES_FIELD}: {named!r:.80} is not one of segments, zeros")
        return cast(PairTypes, named)
    # Before there was the field, `bigbird finetune` wrote every other one, and not the version of transformers.
    ours = "transformers_version" not in values and BigBirdConfig().to_dict().keys() <= values.keys()
    return "zeros" if task in _TRAINED_ON_ZEROS and not ours else "segments"


def note(config_file: Path, values: Mapping[str, Any]) -> str | None:
    """Return what everybody should know who asks the model."""
    if values.get(NOTE_FIELD) is None:
        return None
    try:
        return _NOTE.validate_python(values[NOTE_FIELD], strict=True)
    except ValidationError:
        raise ConfigError(
            f"{config_file}: {NOTE_FIELD}: must be one line of at most 500 characters; shorten it or leave it out"
        ) from None


def as_decoder(folder: Path, config: BigBirdConfig) -> tuple[BigBirdConfig, tuple[str, ...]]:
    """Return a decoder's configuration as it counts for generation, and a line for what differs from the file.

    The ends of generated texts are those of `generation_config.json` where there is one, even if it names none, as in
    transformers.

    Raises:
        ConfigError: It names something that is not a token.
    """
    lines = [_CAUSAL] if config.attention_type == "block_sparse" else []
    file = optional_file(folder, GENERATION_FILE)
    ends = config.end_ids
    if file is not None:
        try:
            ends = BigBirdConfig.from_dict({"eos_token_id": read_json(file).get("eos_token_id")}).end_ids
        except ConfigError as error:
            raise ConfigError(f"{file}: {error}") from error
        if ends != config.end_ids:
            lines.append(
                f"eos_token_id: {_listed(ends)}, as {GENERATION_FILE} says (config.json: {_listed(config.end_ids)})"
            )
    never = [end for end in ends if not 0 <= end < config.vocab_size]
    if never:
        lines.append(f"eos_token_id: left out, as no token has such a number: {_listed(never)}")
    ends = tuple(dict.fromkeys(end for end in ends if end not in never))
    return replace(config, eos_token_id=ends[0] if len(ends) == 1 else ends or None), tuple(lines)


def _listed(ids: Sequence[int]) -> str:
    return ", ".join(first_few([*map(str, ids)])) or "none"
