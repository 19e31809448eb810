"""Train `real-topics`: which subject a text is about, or none.

    python -m demo.real.topic_texts TEXTS
    python -m demo.real.topics TEXTS --output examples/adapters/real-topics

The encoder of `make demo` stays as it is; what is trained is a head, which is written as a LoRA adapter with a
model card. The vectors of the texts are kept in `TEXTS/vectors`, so that a run that was ended goes on where it was.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from demo.real.calibration import Reliability
from demo.real.first_token_vectors import Encoder
from demo.real.topic_card import topic_card
from demo.real.topic_head import RANK, Examples, TopicHead, logits_of, train

SEED = 23
_NOTE = (
    "Learned from the first paragraphs of an encyclopedia's articles. Says 'None of these' of mails, licences and "
    "fiction; other texts of no subject may get one."
)
Text = Mapping[str, str]


def read_texts(folder: Path, part: str) -> list[Text]:
    """Return the lines that `topic_texts` wrote."""
    # `splitlines` would also split at line separators inside of texts.
    with (folder / f"{part}.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def examples(texts: Sequence[Text], labels: Sequence[str], encoder: Encoder, cache: Path) -> Examples:
    """Return what the head reads and what it should say."""
    numbers = torch.tensor([labels.index(text["label"]) for text in texts])
    return Examples(torch.from_numpy(encoder.vectors([text["text"] for text in texts], cache)), numbers)


def pooler_of(encoder: Path) -> nn.Linear:
    """Return the pooler in a BERT's checkpoint."""
    with safe_open(encoder / "model.safetensors", "pt") as file:
        weight, bias = (file.get_tensor(f"pooler.dense.{part}").float() for part in ("weight", "bias"))
    pooler = nn.Linear(weight.shape[1], weight.shape[0])
    pooler.load_state_dict({"weight": weight, "bias": bias})
    return pooler


def reliability(head: TopicHead, test: Examples, texts: Sequence[Text]) -> dict[str, Reliability]:
    """Return how good the head is on all test texts, and on those of each source."""
    probabilities = logits_of(head, test.vectors).softmax(dim=-1).numpy()
    labels = test.labels.numpy()
    sources = np.array([text["source"] for text in texts])
    found = {"all": Reliability.of(probabilities, labels)}
    for source in sorted(set(sources)):
        found[source] = Reliability.of(probabilities[sources == source], labels[sources == source])
    return found


def write_adapter(head: TopicHead, labels: Sequence[str], encoder: Path, folder: Path) -> None:
    """Write the head as PEFT writes an adapter, with the configuration of the model that it makes."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(dict(head.tensors()), folder / "adapter_model.safetensors")
    adapter = {
        "peft_type": "LORA",
        "task_type": "SEQ_CLS",
        "base_model_name_or_path": "sentence-transformers/all-MiniLM-L6-v2",
        "r": RANK,
        "lora_alpha": RANK,
        "bias": "none",
        "target_modules": ["pooler.dense"],
        "modules_to_save": ["classifier"],
    }
    config = json.loads((encoder / "config.json").read_text(encoding="utf-8")) | {
        "architectures": ["BertForSequenceClassification"],
        "problem_type": "single_label_classification",
        "id2label": dict(enumerate(labels)),
        "label2id": {label: number for number, label in enumerate(labels)},
        "bigbird_serve_note": _NOTE,
    }
    for name, values in (("adapter_config.json", adapter), ("config.json", config)):
        (folder / name).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Train, measure, and write the adapter with its card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path, help="what demo.real.topic_texts wrote")
    parser.add_argument("--encoder", type=Path, default=Path("real-models/real-embed"), help="a BERT's checkpoint")
    parser.add_argument("--output", type=Path, default=Path("examples/adapters/real-topics"), help="for the adapter")
    parser.add_argument("--limit", type=int, help="learn from so many texts")
    options = parser.parse_args()
    began = time.monotonic()
    texts = {part: read_texts(options.texts, part) for part in ("train", "valid", "test")}
    texts["train"] = texts["train"][: options.limit]
    labels = sorted({text["label"] for text in texts["train"]})
    encoder = Encoder(options.encoder)
    parts = {part: examples(own, labels, encoder, options.texts / "vectors" / part) for part, own in texts.items()}
    print(f"{sum(map(len, texts.values())):,} texts read in {time.monotonic() - began:.0f} s", file=sys.stderr)
    head = train(pooler_of(options.encoder), parts["train"], parts["valid"], len(labels), SEED)
    found = reliability(head, parts["test"], texts["test"])
    write_adapter(head, labels, options.encoder, options.output)
    card = topic_card(labels, found, {part: len(own) for part, own in texts.items()})
    (options.output / "README.md").write_text(card, encoding="utf-8")
    print(f"{found['all'].cells()}; {time.monotonic() - began:.0f} s in all", file=sys.stderr)


if __name__ == "__main__":
    main()
