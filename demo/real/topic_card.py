"""The model card of `real-topics`."""

from collections.abc import Mapping, Sequence

from demo.real.calibration import Reliability

_ALL = "all"
_KINDS = {
    _ALL: "all of these",
    "encyclopedia": "first paragraphs of articles, one by one",
    "joined": "such paragraphs of one subject, joined to long texts",
    "articles": "whole articles, up to 2,500 words",
    "mails": "mails",
    "spam": "spam",
    "licences": "licences of software",
    "novel": "chapters of Moby-Dick",
    "sayings": "quotations, jokes, songs and poems: a kind that training never saw",
}


def topic_card(labels: Sequence[str], found: Mapping[str, Reliability], texts: Mapping[str, int]) -> str:
    """Return the card in Markdown.

    Args:
        labels: What it tells apart.
        found: How good it is on test texts, by their source.
        texts: How many there are in each part of the data.
    """
    rows = [f"| {_KINDS[kind]} | {found[kind].cells()} |" for kind in _KINDS if kind in found]
    return f"""\
# real-topics

Tells which subject an English text is about: {", ".join(labels[:-1])}, or {labels[-1]}.

- What it is: a LoRA adapter of the pooler (rank 32) and a classifier, for the sentence encoder that `make demo`
  downloads. `bigbird export` merges them; the encoder itself is as it was.
- Made with: `python -m demo.real.topic_texts TEXTS` (in an environment with `demo/real/requirements.txt`), then
  `python -m demo.real.topics TEXTS`. Seeds are fixed.
- Data: {texts["train"]:,} texts to learn from, {texts["valid"]:,} to choose the epoch and the temperature by,
  {texts["test"]:,} to measure on; no article is in two parts. `demo/real/sources.toml` names the packages, their
  versions, and whose the texts are. Subjects are those under which Wikipedia's editors filed their 10,000 vital
  articles (texts CC BY-SA); texts of no subject are mails, spam, licences and chapters of a novel.
- Licence: of the adapter, Apache-2.0, like the rest of the repository. No text is in it. The encoder has a licence of
  its own (Apache-2.0).

On texts that neither training nor its choices saw, measured in PyTorch in bf16:

| texts | how many | accuracy (95% interval) | calibration error |
|---|---|---|---|
{chr(10).join(rows)}

The calibration error is the expected one over 15 bins (Guo et al. 2017): by how much a probability and the share of
right answers differ.

What it cannot do:

- Whole articles: it learned from paragraphs that say what something is, and a long article on a country is mostly about
  its history. There it is often wrong and does not know it. Ask it about a document's abstract or first page.
- A subject is an editor's choice of one of eleven: a painter is filed under People, his pictures under Arts.
- "None of these" was learned from four kinds of texts. Of another kind, the last row tells how often it is seen to be
  of no subject: a low probability is a hint, and no proof.
- It was trained on an encyclopedia's prose. Contracts, letters and minutes are about something, too, and are told by
  what they are about or as none; nobody has measured that.
- English only; capitals are not seen.
"""
