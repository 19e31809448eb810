"""The manifest of a bundle, as types: the one contract between `model_export`, which writes it, and what runs it.

The manifest is plain JSON. The dataclasses here are its definition: the JSON Schema is generated from them
(`manifest_schema`), and reading refuses what does not fit (`bigbird_inference.bundle`).
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter, with_config
from typing_extensions import TypedDict

from bigbird_inference.bundle_files import file_sha256

FORMAT_VERSION: Literal[2] = 2
MANIFEST_FILE = "manifest.json"
WEIGHTS_FILE = "weights.bin"
TokenizerKind = Literal["sentencepiece", "tokenizers"]
"""The library that runs a vocabulary."""
TOKENIZER_FILES: dict[TokenizerKind, str] = {"sentencepiece": "tokenizer.model", "tokenizers": "tokenizer.json"}

Precision = Literal["fp32", "int8", "fp16", "bf16"]
AttentionKernelName = Literal["composed", "fused"]
CpuRuntime = Literal["onnxruntime", "openvino"]
CpuPrecision = Literal["fp32", "bf16"]
"""What a CPU computes in where a graph has float32."""
CheckedWith = Literal["onnxruntime", "openvino", "torch"]
TaskName = Literal["qa", "classify", "ner", "fill-mask", "next-sentence", "multiple-choice", "embed", "generate"]
TrainableTask = Literal["qa", "classify", "ner", "fill-mask"]
"""What `bigbird finetune` makes heads for."""
Attention = Literal["full", "block_sparse"]
PairTypes = Literal["segments", "zeros"]
TokenTypes = Literal["segments", "case"]
"""Token types of a pair of texts: 0 and 1 for the two, or 0 for both."""
SentencePooling = Literal["cls", "mean"]
"""What an encoder was trained to make one vector of a text with: the state of CLS, or the mean of all."""
ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Note = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$", description="A file beside the manifest.")]
Positive = Annotated[int, Field(gt=0, lt=2**31)]
# Published models end at 4,096 tokens; nobody has trained one of a million.
Tokens = Annotated[int, Field(gt=0, le=2**20, description="A length in tokens.")]
# Axes of a model; the largest vocabulary in use has some 260,000 pieces.
Size = Annotated[int, Field(gt=0, le=2**24)]
MOST_LABELS = 100_000
MOST_ADDED_TOKENS = 100_000
LONGEST_ADDED_TOKEN = 512
"""In characters, like the longest piece."""
# Between CLS and SEP, there must be room for a token.
SHORTEST_WINDOW = 3
TokenId = Annotated[int, Field(ge=0, lt=2**31)]
Bytes = Annotated[int, Field(ge=0, lt=2**63)]

_FORBID_EXTRA = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Tensor:
    """Name, element type and shape of a graph's input or output; symbolic axes are strings."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID_EXTRA
    name: str
    dtype: str
    shape: list[int | str]


@dataclass(frozen=True, slots=True)
class HashedFile:
    """A file of the bundle, its size in bytes and its SHA-256."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID_EXTRA
    file: FileName
    bytes: Bytes
    sha256: Sha256

    @classmethod
    def of(cls, path: Path) -> "HashedFile":
        """Return what there is to say of a file."""
        return cls(path.name, path.stat().st_size, file_sha256(path))


@dataclass(frozen=True, slots=True)
class AddedToken:
    """A token beside the SentencePiece model's pieces, with the meaning that transformers gives to its fields.

    Where a text holds `content` it is this token, unless it is `special`: then it is characters there. `lstrip` and
    `rstrip` tell whether it takes the white space around it, `single_word` whether it is only found where no letter,
    digit or underscore touches it. What is not `normalized` is found first.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID_EXTRA
    content: Annotated[str, Field(min_length=1, max_length=LONGEST_ADDED_TOKEN)]
    id: TokenId
    special: bool = False
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = True


@dataclass(frozen=True, slots=True)
class TokenizerFile:
    """The vocabulary, the ids that are added around texts, and the ids that end a generated text.

    Any of `eos_id` and `further_eos_ids` does; there are none of the latter without the former. `kind` is the library
    that runs the vocabulary: a SentencePiece model, or a `tokenizer.json` of the `tokenizers` library. `mask_lstrip`
    tells whether the white space before a mask belongs to the mask. `added_tokens` stand beside the pieces of a
    SentencePiece model; a `tokenizer.json` holds its own. `token_types` tell the segments of a pair, or
    the case of a single text's words.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID_EXTRA
    file: FileName
    bytes: Bytes
    sha256: Sha256
    cls_id: TokenId
    sep_id: TokenId
    pad_id: TokenId
    mask_id: TokenId | None
    eos_id: TokenId | None
    further_eos_ids: list[TokenId] = field(default_factory=list)
    kind: TokenizerKind = "sentencepiece"
    mask_lstrip: bool = True
    added_tokens: Annotated[list[AddedToken], Field(max_length=MOST_ADDED_TOKENS)] = field(default_factory=list)
    token_types: TokenTypes = "segments"


@dataclass(frozen=True, slots=True)
class Graph:
    """The graph of one kind of attention, and the padded lengths in tokens that it may be given.

    It takes `shortest`, every `step` tokens from there, and `longest`. Served are only those lengths that are buckets.
    Both kinds may have the same `file`, which then computes the one or the other by the length.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID_EXTRA
    file: FileName
    bytes: Bytes
    sha256: Sha256
    attention: Attention
    attention_kernel: AttentionKernelName
    shortest: Tokens
    longest: Tokens
    step: Tokens

    def takes(self, length: int) -> bool:
        """Tell whether it may be given a padded length."""
        return self.shortest <= length <= self.longest and (length - self.shortest) % self.step == 0


@dataclass(frozen=True, slots=True)
class Parity:
    """How far a bucket's outputs are from the reference: torch in fp32, each document alone.

    `attention_kernel` tells which of the bucket's graphs was compared. `documents` are the lengths in tokens that were
    compared, in one mixed batch if the bundle allows batches. `logits_std` is the standard deviation of the reference's
    outputs over the documents of all buckets.
    `correlation` is Pearson's, over all numbers; `agreement` the share of decisions (labels, span edges, tokens) that
    are the same, None where a task decides nothing. `checked_with` is what gave the outputs: the graph in
    onnxruntime or OpenVINO, or, for a half-precision graph on a machine without a GPU, the torch model that it was
    traced from.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID_EXTRA
    attention_kernel: AttentionKernelName
    max_abs_difference: Annotated[float, Field(ge=0)]
    mean_abs_difference: Annotated[float, Field(ge=0)]
    logits_std: Annotated[float, Field(ge=0)]
    correlation: Annotated[float, Field(ge=-1, le=1)]
    agreement: Annotated[float, Field(ge=0, le=1)] | None
    tolerance: Annotated[float, Field(gt=0)]
    documents: list[Tokens]
    checked_with: CheckedWith = "onnxruntime"


@dataclass(frozen=True, slots=True)
class Bucket:
    """One padded length: a shape of the graphs of its kind of attention, with which they were compared.

    `peak_memory_bytes` is the rise of the process's resident memory over one run of a single document, or None where
    the operating system does not tell, and in half precision, which is for another device. Where `peak_memory_measured`
    is false it is in proportion to the figure of the longest bucket of the same attention, which was measured.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID_EXTRA
    length: Tokens
    attention: Attention
    parity: Annotated[list[Parity], Field(min_length=1)]
    peak_memory_bytes: Bytes | None
    peak_memory_measured: bool


@dataclass(frozen=True, slots=True)
class Source:
    """The checkpoint that was exported.

    `name` is its folder's name or hub id, `kind` the format of its weights (`safetensors`, `pytorch`, `flax`,
    `google-research`, `model-garden`; with `+lora` where an adapter was merged into them, and after `bert, ` where a
    BERT encoder became a BigBird), `sha256` covers weights, configuration and tokenizer. `assumptions` are the facts
    that the checkpoint does not state, and what was assumed; `changes`, a line each, what was taken otherwise than it
    stands in its files: renamed, merged, left out. `note` is what its maker wants everybody to know who asks the model;
    the service shows it. `ignore_weights` and `base` are what was said at export of tensors to leave out and of an
    adapter's base, so that the checkpoint is read in the same way again; so is `positions`, how many a BERT's were
    repeated to, and None of any other checkpoint.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID_EXTRA
    name: str
    kind: str
    sha256: Sha256
    assumptions: list[str]
    note: Note | None = None
    changes: list[str] = field(default_factory=list)
    ignore_weights: list[str] = field(default_factory=list)
    base: str | None = None
    positions: Tokens | None = None


@dataclass(frozen=True, slots=True)
class KnownOutput:
    """What one output of the known answer looks like.

    `values` are at most 16 of its numbers, evenly spaced, the first and the last among them; `mean` and `std` are of
    all.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID_EXTRA
    output: str
    values: Annotated[list[float], Field(min_length=1)]
    mean: float
    std: Annotated[float, Field(ge=0)]


@dataclass(frozen=True, slots=True)
class KnownRun:
    """One run of the known answer's text: a sequence of `length` tokens, padded to `bucket`, and what comes out.

    No number may be further from `expected` than `tolerance`.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID_EXTRA
    length: Annotated[int, Field(ge=SHORTEST_WINDOW, le=2**20)]
    bucket: Tokens
    expected: Annotated[list[KnownOutput], Field(min_length=1)]
    tolerance: Annotated[float, Field(gt=0)]


@dataclass(frozen=True, slots=True)
class KnownAnswer:
    """A text with its answers, asked for before a model is served: `bigbird_inference.known_answer` says how.

    `text` becomes `token_ids` on any machine, exactly. They are repeated between CLS and SEP. `runs` are of the
    shortest and the longest bucket of each kind of attention.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID_EXTRA
    text: str
    token_ids: Annotated[list[TokenId], Field(min_length=1)]
    runs: Annotated[list[KnownRun], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class CpuRun:
    """Another way to run the bundle on a CPU than in onnxruntime, and what was measured of it.

    `runtime` reads `graphs`, or the bundle's own where there are none, and computes in `precision` what they have in
    float32. Graphs of its own are in OpenVINO's format, a `.xml` and a `.bin` with its weights each; `weights` are
    these, and `calibrated_on` how many documents gave activations their ranges: none where each token gets its own
    while the graph runs. `buckets` and `known_runs` say for it what those of the manifest say for onnxruntime.
    `version` is the runtime's.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID_EXTRA
    runtime: CpuRuntime
    precision: CpuPrecision
    version: str
    buckets: Annotated[list[Bucket], Field(min_length=1)]
    known_runs: list[KnownRun]
    graphs: list[Graph] = field(default_factory=list)
    weights: list[HashedFile] = field(default_factory=list)
    calibrated_on: Annotated[int, Field(ge=0, lt=2**31)] = 0


@with_config(ConfigDict(extra="allow", strict=True))
class ModelConfig(TypedDict):
    """The model's configuration under the source's field names; these are read, the others are for people."""

    attention_type: Literal["block_sparse", "original_full"]
    hidden_size: Size
    num_attention_heads: Size
    num_hidden_layers: Size
    num_random_blocks: Annotated[int, Field(ge=0, le=2**20)]
    type_vocab_size: Size
    vocab_size: Size


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything the service knows about a model.

    `max_length` is the longest document window in tokens; `labels` stand in the order of the logits' last axis
    and are empty where a task has none. `max_batch_items` is the largest batch in which a document's numbers do not
    depend on the others (int8: 1), None if any. A graph's `attention_kernel` tells standard operators from
    onnxruntime's `MultiHeadAttention`. `known_answer` is None while a bundle is made. `cpu_runs` were measured where
    other runtimes were installed. `pooling` is how the encoder was trained to make one vector of a text, None where the
    checkpoint does not say.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID_EXTRA
    format_version: Literal[2]
    task: TaskName
    labels: Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=MOST_LABELS)]
    problem_type: ProblemType | None
    pattern: str
    precision: Precision
    pair_types: PairTypes
    block_size: Tokens
    max_length: Annotated[int, Field(ge=SHORTEST_WINDOW, le=2**20)]
    max_batch_items: Positive | None
    tokenizer: TokenizerFile
    weights: HashedFile
    inputs: list[Tensor]
    outputs: list[Tensor]
    graphs: Annotated[list[Graph], Field(min_length=1)]
    buckets: Annotated[list[Bucket], Field(min_length=1)]
    source: Source
    model: ModelConfig
    versions: dict[str, str]
    known_answer: KnownAnswer | None = None
    cpu_runs: list[CpuRun] = field(default_factory=list)
    pooling: SentencePooling | None = None

    @property
    def files(self) -> list[HashedFile | TokenizerFile | Graph]:
        """Every file of the bundle beside the manifest, each once."""
        own: list[HashedFile | TokenizerFile | Graph] = [self.weights, self.tokenizer, *self.graphs]
        for run in self.cpu_runs:
            own += [*run.graphs, *run.weights]
        return list({entry.file: entry for entry in own}.values())

    @property
    def kernels(self) -> set[AttentionKernelName]:
        """The attention kernels that there are graphs of."""
        return {graph.attention_kernel for graph in self.graphs}

    def graph(self, attention: Attention, kernel: AttentionKernelName) -> Graph:
        """Return the graph of a kind of attention with a kernel, one of `kernels`."""
        return next(graph for graph in self.graphs if (graph.attention, graph.attention_kernel) == (attention, kernel))

    def as_run_by(self, run: CpuRun) -> "Manifest":
        """Return the manifest that says of another runtime what this one says of onnxruntime."""
        known = self.known_answer
        return replace(
            self,
            graphs=run.graphs or [graph for graph in self.graphs if graph.attention_kernel == "composed"],
            buckets=run.buckets,
            max_batch_items=None,
            known_answer=replace(known, runs=run.known_runs) if known is not None and run.known_runs else None,
        )


ADAPTER = TypeAdapter(Manifest)


def manifest_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of `manifest.json`."""
    schema = ADAPTER.json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "bigbird-serve bundle manifest",
        **schema,
    }
