"""What graphs are compared with: a model's answers to random documents, each alone and padded only to whole blocks.

The model is the torch model, or what was compared with that before: a finished bundle's own graphs.

They cost most of a check, and depend neither on the bucket nor on the attention kernel nor on the precision of what is
compared with them, so they are computed once and kept.

`TorchSession` runs a torch model through the interface of a graph's session.
"""

import copy
from collections.abc import Callable, Set
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt
import torch

from bigbird_inference.runtime.session import Batch, Outputs, RunControl, Session
from model_export.config import BigBirdConfig
from model_export.export.signature import Signature
from model_export.nn.model import BigBird
from model_export.nn.precision import WideProducts


class TorchSession:
    """Runs a model.

    Args:
        model: In evaluation mode.
        signature: Its inputs and outputs.
    """

    def __init__(self, model: BigBird, signature: Signature) -> None:
        self._model = model
        self._signature = signature

    def run(self, batch: Batch, control: RunControl | None = None) -> Outputs:
        """Return every output by name, in the model's type, batch axis first; a run cannot be ended."""
        feeds = [torch.from_numpy(getattr(batch, tensor.name)) for tensor in self._signature.inputs]
        with torch.inference_mode(), WideProducts():
            results = self._model(*feeds)
        results = results if isinstance(results, tuple) else (results,)
        return {tensor.name: result.numpy() for tensor, result in zip(self._signature.outputs, results, strict=True)}


# Positions at which a language model is asked about a document, at most.
_POSITIONS = 8

Arrays = dict[str, npt.NDArray[np.float32]]
"""Outputs for a document by name, cut to its tokens or to its positions."""


@dataclass(frozen=True, slots=True)
class Document:
    """A random model input: int64 `[length]` each, and int64 `[positions]` where the model takes positions."""

    input_ids: npt.NDArray[np.int64]
    token_type_ids: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]


class References:
    """The outputs of a model.

    Args:
        session: Runs it, in fp32.
        config: Its configuration.
        signature: Its inputs and outputs.
        exact: Makes what runs it in float64, if anything does.
    """

    def __init__(
        self,
        session: Session,
        config: BigBirdConfig,
        signature: Signature,
        exact: Callable[[], Session] | None = None,
    ) -> None:
        self.config = config
        self.signature = signature
        self._session = session
        self._make_exact = exact
        self._known: dict[int, Arrays] = {}

    @classmethod
    def of_model(cls, model: BigBird, signature: Signature) -> "References":
        """Return those of a torch model, in evaluation mode."""
        exact = partial(_in_float64, model, signature)
        return cls(TorchSession(model, signature), model.config, signature, exact)

    def of(self, document: Document) -> Arrays:
        """Return the outputs for a document; two documents of the same length are the same."""
        length = len(document.input_ids)
        if length not in self._known:
            self._known[length] = self._alone(self._session, document)
        return self._known[length]

    @property
    def known_lengths(self) -> Set[int]:
        """Lengths of the documents whose outputs are known."""
        return self._known.keys()

    def uncertainty(self, documents: list[Document]) -> float:
        """Return the largest difference between float32 and float64 over some documents; 0 if nothing has float64."""
        exact = self._exact
        if exact is None:
            return 0.0
        return max(
            float(np.abs(array - self._alone(exact, document)[name]).max())
            for document in documents
            for name, array in self.of(document).items()
        )

    def batch(self, documents: list[Document], length: int) -> Batch:
        """Return documents as a batch of a padded length."""
        return pad_batch(documents, length, with_positions=self.signature.takes_positions)

    @cached_property
    def _exact(self) -> Session | None:
        return None if self._make_exact is None else self._make_exact()

    def _alone(self, session: Session, document: Document) -> Arrays:
        length, config = len(document.input_ids), self.config
        alone = min(-(-length // config.block_size) * config.block_size, config.max_length)
        outputs = session.run(self.batch([document], alone))
        rows = len(document.positions) if self.signature.takes_positions else length
        # Copies: a cut would keep all of an output.
        return {name: (array[0][:rows] if array.ndim == 3 else array[0]).copy() for name, array in outputs.items()}


def _in_float64(model: BigBird, signature: Signature) -> Session:
    return TorchSession(copy.deepcopy(model).double(), signature)


def random_document(config: BigBirdConfig, length: int) -> Document:
    """Return the random document of a length; the same length gives the same document."""
    generator = np.random.default_rng(length)
    return Document(
        input_ids=generator.integers(0, config.vocab_size, length),
        token_type_ids=(np.arange(length) >= length // 3).astype(np.int64) * min(1, config.type_vocab_size - 1),
        # The last token is among them: it is where a text is continued.
        positions=np.unique(np.linspace(0, length - 1, _POSITIONS).astype(np.int64)),
    )


def pad_batch(documents: list[Document], length: int, *, with_positions: bool = False) -> Batch:
    """Pad documents on the right with zeros to `[documents, length]`, positions to the most of any document."""
    most_positions = max(len(document.positions) for document in documents)

    def padded(row_of: Callable[[Document], npt.NDArray[np.int64]], width: int = length) -> npt.NDArray[np.int64]:
        rows = np.zeros((len(documents), width), dtype=np.int64)
        for row, document in zip(rows, documents, strict=True):
            values = row_of(document)
            row[: len(values)] = values
        return rows

    return Batch(
        input_ids=padded(lambda document: document.input_ids),
        attention_mask=padded(lambda document: np.ones_like(document.input_ids)),
        token_type_ids=padded(lambda document: document.token_type_ids),
        positions=padded(lambda document: document.positions, most_positions) if with_positions else None,
    )
