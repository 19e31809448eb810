"""Spans out of start and end logits, decoded as the service does it: all windows of a question compete.

The null answer's logits are those of [CLS] in the window where they are lowest: one window that is sure of an answer
is enough.
"""

import torch
import torch.nn.functional as F

_LONGEST_ANSWER = 30


def joint_loss(logits: torch.Tensor, targets: torch.Tensor, windows: int) -> torch.Tensor:
    """Compute the cross-entropy of the first and the last token over all windows of a question and the null answer.

    Args:
        logits: Of tokens that may be an answer and of [CLS] at position 0, `[questions * windows, length, 2]`; those of
            other tokens are very low.
        targets: Position of the answer's first and last token in the first window of a question, int64
            `[questions, 2]`; 0 for the null answer.
        windows: Windows of each question.
    """
    # [questions, windows, length, 2]
    grouped = logits.reshape(-1, windows, *logits.shape[1:])
    null = _lowest_null(grouped)
    spans = grouped[:, :, 1:].logsumexp(dim=(1, 2))
    total = torch.logaddexp(null, spans)
    answers = grouped[:, 0].gather(1, targets[:, None, :])[:, 0]
    return (total - torch.where(targets == 0, null, answers)).sum(dim=-1).mean()


def best_spans(logits: torch.Tensor, windows: int = 1) -> list[tuple[int, int, int] | None]:
    """Find each question's best span: its window, first and last token; None where the null answer is better.

    Args:
        logits: As for `joint_loss`.
        windows: Windows of each question.
    """
    grouped = logits.reshape(-1, windows, *logits.shape[1:])
    null = _lowest_null(grouped).sum(dim=-1)
    starts, ends = grouped[:, :, 1:, 0], grouped[:, :, 1:, 1]
    length = starts.shape[2]
    reach = min(_LONGEST_ANSWER, length)
    padded = F.pad(ends, (0, reach - 1), value=-1e9)
    # [questions, windows, length, reach]: the logit of an end 0, 1, ... tokens after each start
    totals = (starts[..., None] + padded.unfold(2, reach, 1)).flatten(1)
    values, places = totals.max(dim=1)
    spans: list[tuple[int, int, int] | None] = []
    for value, place, none in zip(values.tolist(), places.tolist(), null.tolist(), strict=True):
        window, within = divmod(place, length * reach)
        first, more = divmod(within, reach)
        spans.append(None if none >= value else (window, first + 1, first + 1 + more))
    return spans


def _lowest_null(grouped: torch.Tensor) -> torch.Tensor:
    """Return the start and end logit of [CLS] in the window where their sum is lowest, `[questions, 2]`."""
    null = grouped[:, :, 0]
    lowest = null.sum(dim=-1).argmin(dim=1)
    return null[torch.arange(len(null)), lowest]
