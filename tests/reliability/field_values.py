"""Bodies for every field of every endpoint: valid but strange, invalid, and not JSON at all; drawn from a seed."""

import gzip
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

CANARY = "Quetzalcoatlus"
"""A word in most texts: no error and no line of the log may hold it."""

GOOD_TEXT = f"{CANARY} Okafor signed for Halden Works in Bergen."
MASKED_TEXT = f"{CANARY} is a city in [MASK]."
JSON_HEADERS = {"Content-Type": "application/json"}

ENDPOINTS: Mapping[str, Mapping[str, object]] = {
    "/qa": {
        "question": "Who signed?", "context": GOOD_TEXT, "top_k": 3, "max_answer_tokens": 10, "no_answer": False,
        "window_stride": 8, "min_score": 1e-6, "offsets": "utf16", "timeout_ms": 60_000, "model": "small-qa",
    },
    "/classify": {
        "text": GOOD_TEXT, "text_pair": "A pair.", "top_k": 2, "function": "softmax", "window_stride": 8,
        "threshold": 0.5, "timeout_ms": 60_000, "model": "small-classify",
    },
    "/ner": {
        "text": GOOD_TEXT, "aggregation": "simple", "threshold": 0.1, "window_stride": 8, "offsets": "utf8",
        "timeout_ms": 60_000, "model": "small-ner",
    },
    "/embed": {
        "text": GOOD_TEXT, "pooling": "mean", "normalize": True, "tokens": True, "window_stride": 8,
        "offsets": "code_points", "timeout_ms": 60_000, "model": "small-embed",
    },
    "/fill-mask": {
        "text": MASKED_TEXT, "mask": "[MASK]", "top_k": 2, "sequences": True, "offsets": "utf16",
        "timeout_ms": 60_000, "model": "small-fill-mask",
    },
    "/next-sentence": {
        "first": GOOD_TEXT, "second": "It was in May.", "timeout_ms": 60_000, "model": "small-next-sentence",
    },
    "/multiple-choice": {
        "prompt": GOOD_TEXT, "choices": ["One.", "Two."], "timeout_ms": 60_000, "model": "small-multiple-choice",
    },
    "/generate": {
        "prompt": GOOD_TEXT, "max_new_tokens": 2, "sampling": "top_p", "top_p": 0.5, "temperature": 1.5, "seed": 7,
        "timeout_ms": 60_000, "model": "small-generate",
    },
    "/qa as Hugging Face has it": {
        "inputs": {"question": "Who signed?", "context": GOOD_TEXT},
        "parameters": {"top_k": 3, "max_answer_len": 10, "handle_impossible_answer": True, "doc_stride": 8},
    },
    "/classify as Hugging Face has it": {
        "inputs": GOOD_TEXT, "parameters": {"top_k": 2, "function_to_apply": "sigmoid"},
    },
    "/models/small-ner as Hugging Face has it": {
        "inputs": GOOD_TEXT, "parameters": {"aggregation_strategy": "none", "ignore_labels": [], "stride": 8},
    },
    "/fill-mask as Hugging Face has it": {"inputs": MASKED_TEXT, "parameters": {"top_k": 2}},
    "/embed as Hugging Face has it": {"inputs": GOOD_TEXT, "normalize": True, "truncate": False},
    "/v1/embeddings": {
        "input": GOOD_TEXT, "model": "small-embed", "encoding_format": "base64", "user": "nobody",
    },
    "/predict": {"inputs": GOOD_TEXT, "raw_scores": True, "truncate": False, "model": "small-classify"},
    "/similarity": {"inputs": {"source_sentence": GOOD_TEXT, "sentences": ["It was in May.", GOOD_TEXT]}},
    "/tokenize": {"inputs": GOOD_TEXT, "add_special_tokens": True, "model": "small-ner"},
    "/decode": {"ids": [70, 80, 90], "skip_special_tokens": False, "model": "small-ner"},
    "/rerank": {
        "query": "Who signed?", "texts": ["It was in May.", GOOD_TEXT], "raw_scores": True, "return_text": True,
        "truncate": False, "label": "invoice", "model": "small-classify",
    },
    "/v1/rerank": {
        "query": "Who signed?", "documents": ["It was in May.", {"text": GOOD_TEXT}], "top_n": 1,
        "return_documents": True, "label": "invoice", "model": "small-classify",
    },
    "/v2/models/small-ner/infer": {
        "inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [GOOD_TEXT]}],
        "parameters": {"aggregation": "simple", "threshold": 0.1}, "outputs": [{"name": "json"}], "id": "7",
        "model_name": "small-ner",
    },
}  # fmt: skip
"""Good bodies by path; what stands behind a path tells apart two forms of one endpoint."""
# Where a text is only a part of a field.
_AROUND_TEXTS: Mapping[tuple[str, str], str] = {
    ("/qa as Hugging Face has it", "inputs"): '{{"question": "Who signed?", "context": {text}}}',
    ("/similarity", "inputs"): '{{"source_sentence": "It was in May.", "sentences": ["In May.", {text}]}}',
    ("/rerank", "texts"): '["In May.", {text}]',
    ("/v1/rerank", "documents"): '[{{"text": "In May."}}, {text}]',
    ("/v2/models/small-ner/infer", "inputs"): (
        '[{{"name": "text", "shape": [1], "datatype": "BYTES", "data": [{text}]}}]'
    ),
}
# Every third field gets a kind of large text, each kind others.
_TURNS = 3
TEXT_FIELDS = frozenset(
    {
        "question", "context", "text", "text_pair", "first", "second", "prompt",
        "inputs", "input", "query", "texts", "documents",
    }
)  # fmt: skip
FIELDS = tuple((path, name) for path, body in ENDPOINTS.items() for name in body)

_PIECES = (
    "[SEP]", "[CLS]", "[MASK]", "<s>", "</s>", "<pad>", "<unk>", "<0x00>", "<0xFF>", "\u2581", "[MASK", "SEP]",
    "<ans>", "<t>",
)  # fmt: skip
_MARKS = (
    "\u202e", "\u202d", "\u2066", "\u2069", "\u200b", "\u200d", "\u200f", "\ufeff", "\u0301", "\u20dd", "\ufe0f",
    "\x00",
    "\x1f", "\x7f", "\x85", "\u2028", "\xa0", "\u3000", "\u3164", "\ufffd", "\ufffe", "\uffff", "\U0010ffff", "\ue000",
    "\U000e0041", "\u0378", "\xad", "\u180e", "\U0001f468\u200d\U0001f469", "\U0001f1f3", "\ufb01", "\xbd", "\u0130",
    "\u1e9e",
    "\uac00", "\u1100", "\u0e33", "\u0f77", "\ufdfa", "\U0001d400", "\u3300", "\xdf", "\t", "\r\n", "\x0b",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Input:
    """One request.

    Attributes:
        kind: How it was made.
        path: Where it goes.
        body: Its bytes.
        headers: Beside Host and Content-Length.
        statuses: The only answers that are right, or none if every documented one is.
    """

    kind: str
    path: str
    body: bytes
    headers: Mapping[str, str]
    statuses: tuple[int, ...] = ()


def field_input(number: int, random: Random) -> Input:
    """Return the input of a number: the fields take turns, the ways to spoil them are drawn."""
    path, name = FIELDS[number % len(FIELDS)]
    way = random.choice(_WAYS)
    if way in _OF_TEXTS and not _texts_of(path):
        way = _wrong_value
    return way(path, name, random)


def written(path: str, **raw: str) -> str:
    """Write an endpoint's good body as JSON, with some fields given as JSON already."""
    fields = {name: json.dumps(value) for name, value in ENDPOINTS[path].items()} | raw
    return "{" + ", ".join(f"{json.dumps(name)}: {value}" for name, value in fields.items()) + "}"


def _request(kind: str, path: str, body: str | bytes, statuses: tuple[int, ...] = ()) -> Input:
    raw = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    return Input(kind, _address(path), raw, JSON_HEADERS, statuses)


def _address(path: str) -> str:
    return path.partition(" ")[0]


def _with_text(kind: str, path: str, name: str, text: str, statuses: tuple[int, ...]) -> Input:
    """Return a request whose field is a text, given as JSON, or has it where texts stand in it."""
    raw = _AROUND_TEXTS.get((path, name), "{text}").format(text=text)
    return _request(kind, path, written(path, **{name: raw}), statuses)


def _texts_of(path: str) -> list[str]:
    return [name for name in ENDPOINTS[path] if name in TEXT_FIELDS]


def strange_text(random: Random) -> str:
    """Return a text that is valid Unicode, and most of the time has a mask in it."""
    parts = []
    for _ in range(random.randrange(1, 12)):
        match random.randrange(6):
            case 0:
                parts.append(random.choice(_PIECES))
            case 1:
                parts.append(random.choice(_MARKS) * random.choice([1, 1, 2, 50]))
            case 2:
                parts.append(GOOD_TEXT[: random.randrange(len(GOOD_TEXT))])
            case 3:
                parts.append("".join(_character(random) for _ in range(random.randrange(1, 20))))
            case 4:
                parts.append("a" + "".join(random.choices("\u0300\u0301\u0327\u0338\u20d7", k=random.randrange(1, 60))))
            case 5:
                parts.append(random.choice(["x", " ", "7", "\u4e2d", "."]) * random.choice([1, 10, 100, 1000]))
    if random.random() < 0.7:
        parts.insert(random.randrange(len(parts)), " [MASK] ")
    return random.choice(["", " "]).join(parts)


def _character(random: Random) -> str:
    code = random.choice([random.randrange(0x80), random.randrange(0xD800), random.randrange(0xE000, 0x110000)])
    return chr(code)


def _strange_text(path: str, name: str, random: Random) -> Input:
    name = name if name in TEXT_FIELDS else random.choice(_texts_of(path))
    text = json.dumps(strange_text(random), ensure_ascii=random.random() < 0.5)
    if random.random() < 0.15 and path != "/embed" and (path, name) not in _AROUND_TEXTS:
        text = "[" + ", ".join([text, json.dumps(strange_text(random)), text]) + "]"
    return _with_text("a strange text", path, name, text, (200, 422))


def _invisible_text(path: str, name: str, random: Random) -> Input:
    text = "".join(random.choices([" ", "\t", "\n", "\u200b", "\ufeff", "\u3000"], k=random.randrange(1, 60)))
    statuses = (200,) if path == "/tokenize" else (422,)
    return _with_text("nothing to see", path, random.choice(_texts_of(path)), json.dumps(text), statuses)


def _lone_surrogate(path: str, name: str, random: Random) -> Input:
    half = f"\\ud{random.choice('89abcdef')}{random.randrange(256):02x}"
    text = random.choice([f'"a{half} b"', f'["a", "{half}x"]', f'"{half}"', f'"[MASK] {half}"'])
    return _with_text("half of a surrogate pair", path, random.choice(_texts_of(path)), text, (422,))


def _wrong_value(path: str, name: str, random: Random) -> Input:
    value = random.choice(
        [
            "null", "true", "false", "0", "-1", "1.5", "-0", "-0.0", "1e999", "-1e999", "1e-999", "1e308",
            "9223372036854775808",
            "-" + "9" * 400, "9" * 4300, "0." + "1" * 5000, "1E+2", '""', '"5"', '"\\u0000"', "[]", "{}", "[[]]",
            "[null]",
            '["a", 5]', '["a", ""]', '{"a": 1}', '[{"text": "a"}]', "[" * 50 + "]" * 50, '{"a": ' * 50 + "1" + "}" * 50,
            '"' + "a" * 300 + '"', "4294967296", "2.0", '["a", ["b"]]', '"none"', '"NONE"', "[true]",
            '"../../etc/passwd"',
        ]
    )  # fmt: skip
    return _request("a wrong value", path, written(path, **{name: value}))


def _not_json_value(path: str, name: str, random: Random) -> Input:
    value = random.choice(
        [
            "NaN", "Infinity", "-Infinity", "nan", "undefined", "None", "True", "'a'", "0x10", "01", "1.", ".5",
            "+1", "1e", "--1",
            '"\\x41"', '"\\u12"', '"\n"', '"\x00"', '"a', "a", "", "[1,]", "{1: 2}", "/* */ 1", "9" * 5000,
            "-" + "9" * 6000, "[" * 1400,
        ]
    )  # fmt: skip
    return _request("a value that JSON has not", path, written(path, **{name: value}), (400,))


def _wrong_fields(path: str, name: str, random: Random) -> Input:
    good = written(path)
    other = random.choice(["txet", "", "__proto__", name.upper(), name + "\\u0000", "\\ud800", "a" * 3000, "é"])
    body, statuses = random.choice(
        [
            (good[:-1] + f', "{other}": 1}}', (422,)),
            (good[:-1] + f', "{name}": {json.dumps(ENDPOINTS[path][name])}}}', (400,)),
            (good[:-1] + ', "a": {"b": 1, "b": 2}}', (400,)),
            (written(path).replace(f'"{name}"', f'"{name}x"', 1), (422,)),
            ("{" + ", ".join(f'"f{number}": 1' for number in range(500)) + "}", (422,)),
        ]
    )
    return _request("wrong fields", path, body, statuses)


def _not_an_object(path: str, name: str, random: Random) -> Input:
    good = written(path)
    body = random.choice(
        [
            "", " ", "\n\n", "null", "true", "5", '"a"', "[]", f"[{good}]", "{}",
            good[: random.randrange(len(good))], good + good,
            good + "x", good[:-1] + ",}", "//\n" + good, good.replace('"', "'"), good.replace(":", "="),
            "\x00" + good, good + "\x00",
        ]
    )  # fmt: skip
    return _request("not an object", path, body, (400, 422))


def _wrong_encoding(path: str, name: str, random: Random) -> Input:
    good = written(path, **{name: '"Größe 中"'})
    utf8 = good.encode()
    cut = utf8.index("ö".encode()) + 1
    body = random.choice(
        [
            good.encode("utf-16"), good.encode("utf-16-le"), good.encode("utf-32"),
            good.replace("中", "").encode("latin-1"),
            utf8[:cut] + utf8[cut + 1 :], utf8[:cut], utf8.replace("ö".encode(), b"\xc0\xaf"),
            utf8.replace("ö".encode(), b"\xed\xa0\x80"),
            utf8.replace("ö".encode(), b"\xf4\x90\x80\x80"), utf8.replace("ö".encode(), b"\xff"),
            b"\xef\xbb\xbf" * 2 + utf8, b"\xfe\xff" + utf8,
            good.encode("cp037", "replace"),
        ]
    )  # fmt: skip
    return _request("a wrong encoding", path, body, (400,))


def _byte_order_mark(path: str, name: str, random: Random) -> Input:
    return _request("a byte order mark", path, b"\xef\xbb\xbf" + written(path).encode(), (200,))


def _compressed(path: str, name: str, random: Random) -> Input:
    good = written(path).encode()
    coding = random.choice(["gzip", "deflate", "br", "zstd", "x-gzip", "gzip, identity", "GZIP", "compress", "x"])
    body = random.choice([gzip.compress(good), zlib.compress(good), good, gzip.compress(b"0" * 1_000_000)])
    return Input("a compressed body", _address(path), body, {**JSON_HEADERS, "Content-Encoding": coding}, (415,))


def _wrong_type(path: str, name: str, random: Random) -> Input:
    value = random.choice(
        [
            "text/plain", "text/json", "application/jsonx", "application/x-www-form-urlencoded",
            "multipart/form-data", "*/*", "json",
            "application/json; charset=utf-16", "application/json; charset=latin-1", "application/json, text/plain",
            ";", "",
            "application/json" + ";" * 5000, "application/ld+json", "application/json; charset=",
            "application/json charset=utf-8",
        ]
    )  # fmt: skip
    return Input("a wrong content type", _address(path), written(path).encode(), {"Content-Type": value}, (415,))


def _good(path: str, name: str, random: Random) -> Input:
    return _request("a good request", path, written(path), (200,))


_WAYS: tuple[Callable[[str, str, Random], Input], ...] = (
    *[_strange_text] * 6,
    *[_wrong_value] * 5,
    *[_not_json_value] * 2,
    *[_wrong_fields] * 2,
    _invisible_text,
    _lone_surrogate,
    _not_an_object,
    _wrong_encoding,
    _byte_order_mark,
    _compressed,
    _wrong_type,
    _good,
)
_OF_TEXTS = (_strange_text, _invisible_text, _lone_surrogate)


def large_inputs() -> list[Input]:
    """Return what is large: kinds of text and of bodies, which the fields and endpoints take turns to get."""
    inputs = []
    text_fields = [(path, name) for path, name in FIELDS if name in TEXT_FIELDS]
    texts = {
        "10 MB of one letter": ("a" * 10_000_000, (413,)),
        "a million letters": ("a" * 1_000_000, (413,)),
        "a million spaces": (" " * 1_000_000, (413,)),
        "the longest word": ("a" * 200_000, (200, 413, 422)),
        "the longest run of spaces": (" " * 200_000, (200, 422)),
        "spaces between two letters": ("a" + " " * 199_990 + "b", (200, 413, 422)),
        "a flood of combining marks": ("a" + "\u0301" * 199_990, (200, 413, 422)),
        "as many words as fit": ("word " * 40_000, (200, 413, 422)),
        "as many control pieces as fit": ("[SEP]" * 40_000, (200, 413, 422)),
        "as many masks as fit": ("[MASK]" * 33_000, (200, 413, 422)),
        "as many right-to-left overrides as fit": ("\u202ea" * 100_000, (200, 413, 422)),
        "as many ligatures as fit": ("\ufdfa" * 50_000, (200, 413, 422)),
        "as many NULs as fit": ("\x00" * 200_000, (200, 413, 422)),
    }
    for number, (kind, (text, statuses)) in enumerate(texts.items()):
        for path, name in text_fields[number % _TURNS :: _TURNS]:
            raw = json.dumps(text, ensure_ascii=False)
            inputs.append(_with_text(f"{kind} in {name}", path, name, raw, statuses))
    bodies = {
        "100,000 brackets": b"[" * 100_000,
        "100,000 objects in each other": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        "eight million zeros": b'{"text": [' + b"0," * 8_000_000 + b"0]}",
        "five million lists": b"[" + b"[]," * 5_000_000 + b"[]]",
        "a million fields": b"{" + b",".join(b'"%d":0' % number for number in range(1_000_000)) + b"}",
        "a million empty texts": b'{"text": [' + b'"",' * 1_000_000 + b'""]}',
        "a million of the same field": b"{" + b'"text":0,' * 1_000_000 + b'"text":0}',
        "millions of escapes": b'{"text": "' + b"\\u0041" * 2_500_000 + b'"}',
        "millions of quotes": b'{"text": "' + b'\\"' * 7_500_000 + b'"}',
        "sixteen million digits": b'{"text": ' + b"9" * 16_000_000 + b"}",
        "sixteen million decimals": b'{"text": 0.' + b"9" * 16_000_000 + b"}",
        "sixteen million spaces": b" " * 16_000_000,
        "seventeen million bytes": b" " * 17_000_000,
    }
    for number, (kind, body) in enumerate(bodies.items()):
        inputs.append(_request(kind, list(ENDPOINTS)[number % len(ENDPOINTS)], body, (400, 413, 422)))
    return inputs
