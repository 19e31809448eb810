"""The card that lies beside each demo checkpoint: what it is, how it was made and what it reaches."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.batches import Lengths
from demo.objective import Objective
from demo.recipe import Recipe
from finetuning.plan import Position
from model_export.nn.model import BigBird

NOTE = (
    "A demonstration model: it knows nothing but the synthetic reports that it was trained on, and its answers about "
    "any other text mean nothing."
)

MEASURED = tuple(Lengths(tokens, tokens) for tokens in (100, 200, 400, 650, 1000, 2000, 3600))


@dataclass(frozen=True, slots=True)
class Score:
    """A task's scores on validation reports of about ``tokens`` tokens."""

    tokens: int
    scores: dict[str, float]

    def __str__(self) -> str:
        return ", ".join(f"{name} {score:.3f}" for name, score in self.scores.items()) + f" at {self.tokens}"


def final_scores(model: BigBird, objective: Objective[Any], batches: int, tokens: int) -> list[Score]:
    """Measures the finished model at several lengths, on ``batches`` batches of about ``tokens`` tokens each."""
    model.eval()
    return [Score(lengths.longest, objective.scores(model, lengths, batches, tokens)) for lengths in MEASURED]


def write_model_card(
    folder: Path,
    objective: Objective[Any],
    recipe: Recipe,
    position: Position,
    scores: list[Score],
    *,
    parameters: int,
    seed: int,
) -> None:
    """Write the checkpoint's README.md."""
    names = list(scores[0].scores)
    rows = "\n".join(
        f"| {score.tokens} | " + " | ".join(f"{score.scores[name]:.3f}" for name in names) + " |" for score in scores
    )
    start = f"the encoder of the {recipe.starts_from} checkpoint" if recipe.starts_from else "random weights"
    (folder / "README.md").write_text(
        f"""# {folder.name}

A BigBird of four layers and width 128, made for the demonstration of bigbird-serve and good for nothing else: it was
trained on the synthetic reports of `demo` alone and knows the phrasings of that generator.

- Task: `{objective.task}`; {parameters / 1e6:.1f} million parameters, 64 tokens to a block, 3 random blocks
- Made with: `python -m demo --task {objective.task} --seed {seed}`
- Started from: {start}
- Steps: {position.total_steps} in {len(recipe.stages)} stages, {position.seconds / 60:.0f} minutes
- Licence: Apache-2.0, like the rest of the repository

On generated reports that were not trained on, measured in PyTorch at the end:

| tokens | {" | ".join(names)} |
|---|{"---|" * len(names)}
{rows}
""",
        encoding="utf-8",
    )
