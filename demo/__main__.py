"""Makes the demo checkpoints: ``python -m demo``.

Trains the vocabulary, then the models, and writes each in the Hugging Face layout. A run that was stopped goes on where
it was when it is started again with the same work folder.
"""

import argparse
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bigbird_inference.tokenization.tokenizer import Tokenizer
from demo.classification import Classification
from demo.entity_recognition import EntityRecognition
from demo.model_card import NOTE, final_scores, write_model_card
from demo.objective import Objective
from demo.positions import repeat_positions
from demo.question_answering import QuestionAnswering
from demo.recipe import RECIPES, TOKENS_PER_BATCH, VOCABULARY_SIZE, Recipe
from demo.training import Training
from demo.vocabulary import CLASSIFY, MASK, PAD, SEPARATOR, train_vocabulary
from finetuning.progress import Progress
from model_export.checkpoints.huggingface import save_checkpoint
from model_export.checkpoints.recognise import read_checkpoint
from model_export.patterns.registry import get_pattern

_BLOCK_SIZE = 64
_FOLDERS = {"qa": "demo-qa", "ner": "demo-ner", "classify": "demo-classify"}
_OBJECTIVES: dict[str, Callable[[Tokenizer, int], Objective[Any]]] = {
    "qa": QuestionAnswering,
    "ner": EntityRecognition,
    "classify": Classification,
}


def main(arguments: list[str]) -> None:
    """Make what the command line asks for."""
    options = _parser().parse_args(arguments)
    vocabulary_file = options.work / "spiece.model"
    if not vocabulary_file.exists():
        train_vocabulary(vocabulary_file, size=VOCABULARY_SIZE)
    tokenizer = Tokenizer(vocabulary_file, CLASSIFY, SEPARATOR, PAD, MASK).load()
    for task in [options.task] if options.task else list(_FOLDERS):
        objective = _OBJECTIVES[task](tokenizer, _BLOCK_SIZE)
        recipe = _scaled(RECIPES[task], options.steps_scale)
        training = Training(
            objective,
            recipe,
            options.work / f"{task}.state",
            seed=options.seed,
            tokens=options.batch_tokens,
            validation_batches=min(3, options.measured_batches),
        )
        progress = Progress(task, options.work / f"{task}.log")
        if training.resume():
            progress.note(f"{task}: going on after {training.position.total_steps} steps")
        elif recipe.starts_from:
            folder = options.output / _FOLDERS[recipe.starts_from]
            training.start_from(read_checkpoint(folder).load(get_pattern("transformers")).model)
            progress.note(f"{task}: starting from the encoder in {folder}")
        training.run(progress)
        progress.close()
        repeat_positions(training.model)
        folder = options.output / _FOLDERS[task]
        folder.mkdir(parents=True, exist_ok=True)
        save_checkpoint(training.model, task, folder, note=NOTE)
        shutil.copyfile(vocabulary_file, folder / "spiece.model")
        scores = final_scores(training.model, objective, options.measured_batches, options.batch_tokens)
        parameters = sum(weight.numel() for weight in training.model.parameters())
        write_model_card(folder, objective, recipe, training.position, scores, parameters=parameters, seed=options.seed)
        progress.note(f"{task}: wrote {folder}; " + "; ".join(map(str, scores)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demo", description="Make the demo checkpoints.")
    parser.add_argument("--output", type=Path, default=Path("examples/checkpoints"), help="where the checkpoints go")
    parser.add_argument("--work", type=Path, default=Path("build/demo"), help="where states and logs are kept")
    parser.add_argument("--task", choices=list(_FOLDERS), help="make only this checkpoint (ner, classify: after qa)")
    parser.add_argument("--seed", type=int, default=1, help="determines the first weights")
    parser.add_argument("--steps-scale", type=float, default=1.0, help="multiplies the steps of every stage")
    parser.add_argument("--batch-tokens", type=int, default=TOKENS_PER_BATCH, help="about how many tokens in a batch")
    parser.add_argument("--measured-batches", type=int, default=40, help="validation batches for the final scores")
    return parser


def _scaled(recipe: Recipe, scale: float) -> Recipe:
    stages = tuple(replace(stage, steps=max(1, round(stage.steps * scale))) for stage in recipe.stages)
    return replace(recipe, stages=stages)


if __name__ == "__main__":
    main(sys.argv[1:])
