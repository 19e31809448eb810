"""The search example, with a server whose vectors count words, and with the real one's requests and answers."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from examples.search import main, sections_of
from tests.fake_server import fake_server

WORDS = ("rent", "garden", "notice")
LEASE = {
    "lease.txt": (
        "The tenant pays rent.\nRent is due on Monday.\n\nThe garden may be used.\n\nNotice is of three months.\n"
    ),
    "notes/house.MD": "# The house\n\nNothing about that.\n",
}


class Embedder(HTTPServer):
    """Answers `/embed` with how often each of `WORDS` stands in a text, scaled to length 1, and counts texts."""

    def __init__(self, revision: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.revision = revision
        self.texts = 0

    def vector(self, text: str) -> list[float]:
        self.texts += 1
        counts = [text.lower().count(word) for word in WORDS]
        length = sum(count * count for count in counts) ** 0.5 or 1.0
        return [count / length for count in counts]


class _Handler(BaseHTTPRequestHandler):
    server: Embedder

    def do_POST(self) -> None:
        text = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"]
        embed, usage = self.server.vector, {"revision": self.server.revision}
        if isinstance(text, str):
            answer: object = {"embedding": embed(text), "usage": usage}
        else:
            answer = {"results": [{"embedding": embed(each), "usage": usage} for each in text]}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *arguments: object) -> None:
        """Print nothing."""


@contextmanager
def embedder(revision: str = "1") -> Iterator[Embedder]:
    with Embedder(revision) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("examples.search.sections_of", lambda *arguments: sections_of(*arguments, words=3))
    for name, text in LEASE.items():
        file = tmp_path / "documents" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path / "documents"


def search(documents: Path, question: str, server: Embedder) -> int:
    index = documents.parent / "index.json"
    return main([str(documents), question, "--url", f"http://127.0.0.1:{server.server_port}", "--index", str(index)])


def test_the_nearest_section_is_named_by_document_and_line(documents: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with embedder() as server:
        assert search(documents, "When may one give notice?", server) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [
        "1.000  lease.txt, line 6",
        "       Notice is of three months.",
    ]


def test_only_new_text_is_embedded_again(documents: Path) -> None:
    with embedder() as server:
        search(documents, "garden", server)
        assert server.texts == 1 + 5
        search(documents, "rent", server)
        assert server.texts == 1 + 5 + 1
        (documents / "new.md").write_text("A garden is a garden.")
        search(documents, "rent", server)
        assert server.texts == 1 + 5 + 1 + 2
    with embedder(revision="2") as other:
        search(documents, "rent", other)
        assert other.texts == 1 + 6


def test_what_was_embedded_before_an_interruption_is_kept(documents: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("examples.search._BATCH", 2)
    with embedder() as server, monkeypatch.context() as broken:
        told: list[object] = []

        def interrupt(line: object, **where: object) -> None:
            told.append(line)
            raise KeyboardInterrupt

        broken.setattr("builtins.print", interrupt)
        with pytest.raises(KeyboardInterrupt):
            search(documents, "garden", server)
        assert told == ["2 of 5 new sections"]
    with embedder() as server:
        search(documents, "garden", server)
        assert server.texts == 1 + 3


def test_sections_are_whole_paragraphs_and_nothing_is_left_out() -> None:
    text = "\n\none two\nthree\n \nfour\n\n\nfive six\n\nseven"
    assert [(section.line, section.text) for section in sections_of("d", text, words=4)] == [
        (3, "one two\nthree\n \nfour"),
        (9, "five six\n\nseven"),
    ]
    assert list(sections_of("d", " \n\n ", words=4)) == []


def test_a_folder_without_text_and_a_server_that_is_not_there_are_told(documents: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match=r"no text in it; documents are files that end in \.md or \.txt"):
        main([str(tmp_path / "empty"), "rent"])
    with pytest.raises(SystemExit, match=r"lease\.txt is not a folder"):
        main([str(documents / "lease.txt"), "rent"])
    with pytest.raises(SystemExit, match="the question is empty"):
        main([str(documents), " "])
    with embedder() as server:
        pass
    with pytest.raises(SystemExit, match="start the server with `make demo`"):
        search(documents, "rent", server)


def test_the_service_takes_its_requests(documents: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with fake_server() as url:
        given = ["--url", url, "--index", str(tmp_path / "index.json")]
        with pytest.raises(SystemExit, match=r"/embed: .*no-such-model"):
            main([str(documents), "rent", *given, "--model", "no-such-model"])
        assert main([str(documents), "rent", *given, "--top", "2"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
