"""Which objective learns which data."""

from typing import Any

from bigbird_inference.errors import InvalidInput
from bigbird_inference.tokenization.tokenizer import PAIR_SPECIAL_TOKENS, SINGLE_SPECIAL_TOKENS, Tokenizer
from bigbird_inference.tokenization.windows import plan_windows
from evaluation.data.source_text import has_json_lines
from finetuning.classification import Classification
from finetuning.data import Data, LabelledTexts, PlainTexts, Questions, TaggedTexts
from finetuning.entity_recognition import EntityRecognition
from finetuning.masked_language_model import MaskedLanguageModel, masked_rows
from finetuning.objective import Batching, FileObjective
from finetuning.options import FinetuneOptions
from finetuning.question_answering import QuestionAnswering
from finetuning.served_task import served_task
from model_export.config import BigBirdConfig
from model_export.errors import ConfigError


def create_objective(
    data: Data, config: BigBirdConfig, tokenizer: Tokenizer, options: FinetuneOptions, batching: Batching
) -> FileObjective[Any]:
    """Encode both files.

    Args:
        data: What they hold.
        config: Of the model.
        tokenizer: Of the model.
        options: The choices.
        batching: How rows are put together.

    Raises:
        DataError: An example cannot be encoded; the message names its line.
        ConfigError: The length, the stride or the vocabulary does not allow the task.
    """
    max_length = window_length(config, options.max_length)
    stride = _stride(options, max_length)
    if isinstance(data, PlainTexts):
        if tokenizer.mask_id is None:
            raise ConfigError("mask_token: the vocabulary has no mask, so fill-mask cannot be trained")
        training, evaluation = (
            masked_rows(tokenizer, path, texts, max_length, joined=not has_json_lines(path))
            for path, texts in (
                (options.training_file, data.training),
                (options.evaluation_file, data.evaluation),
            )
        )
        return MaskedLanguageModel(tokenizer, training, evaluation, config, batching)
    task = served_task(config, options.task, tokenizer, max_length)
    match data:
        case Questions():
            longest = options.max_answer_tokens
            return QuestionAnswering(task, data.training, data.evaluation, config, batching, stride, longest)
        case TaggedTexts():
            pack_to = max_length if options.pack else None
            return EntityRecognition(task, data.training, data.evaluation, config, batching, stride, pack_to)
        case LabelledTexts():
            own, other = (options.training_file, data.training), (options.evaluation_file, data.evaluation)
            return Classification(task, own, other, config, batching, stride)


def window_length(config: BigBirdConfig, wanted: int | None) -> int:
    """Return the tokens of a window.

    Raises:
        ConfigError: The wanted length is not whole blocks, or longer than the model.
    """
    if wanted is None:
        return config.max_length
    if wanted != config.max_length and (wanted % config.block_size or not 0 < wanted <= config.max_length):
        raise ConfigError(
            f"max-length: must be a multiple of the block size {config.block_size} and at most {config.max_length}, "
            f"is {wanted}"
        )
    return wanted


def _stride(options: FinetuneOptions, max_length: int) -> int | None:
    """Return how many tokens windows share.

    Raises:
        ConfigError: Not even a window without question or second text leaves room for new tokens beside them.
    """
    stride = options.window_stride
    if stride is None or options.task == "fill-mask":
        return stride
    capacity = max(1, max_length - (PAIR_SPECIAL_TOKENS if options.task == "qa" else SINGLE_SPECIAL_TOKENS))
    try:
        plan_windows(1, capacity, stride)
    except InvalidInput:
        raise ConfigError(
            f"window-stride: {stride} leaves too little room for new tokens in windows of {max_length} tokens"
        ) from None
    return stride
