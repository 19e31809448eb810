"""PDFs and DOCX files that are broken or hostile, made from good ones by chance: the same number, the same file."""

import io
import random
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from functools import cache

PdfMutation = Callable[[bytes, random.Random], bytes]
Entries = list[tuple[zipfile.ZipInfo, bytes]]
DocxMutation = Callable[[Entries, random.Random], None]

_OBJECT = re.compile(rb"\d+ 0 obj\b.*?endobj", re.DOTALL)
_NUMBER = re.compile(rb"(?<![\w.])\d+(?![\w.])")
_HUGE = (b"99999999999", b"-1", b"2147483648", b"0", b"1e30", b"4294967295")
_DOCUMENT = "word/document.xml"
_W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def mutated_pdf(number: int, sources: Sequence[bytes]) -> bytes:
    """Return a broken PDF; one in four is broken twice."""
    chance = random.Random(f"PDF {number}")
    content = chance.choice(sources)
    for _ in range(2 if chance.random() < 0.25 else 1):
        content = chance.choice(PDF_MUTATIONS)(content, chance)
    return content


def mutated_docx(number: int, sources: Sequence[bytes]) -> bytes:
    """Return a broken DOCX file: what is in it, and in one of three cases the archive itself."""
    chance = random.Random(f"DOCX {number}")
    with zipfile.ZipFile(io.BytesIO(chance.choice(sources))) as archive:
        entries = [(info, archive.read(info)) for info in archive.infolist()]
    chance.choice(DOCX_MUTATIONS)(entries, chance)
    target = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(target, "w") as archive:
        warnings.filterwarnings("ignore", "Duplicate name")
        for info, content in entries:
            archive.writestr(info, content, zipfile.ZIP_DEFLATED, 1)
    whole = target.getvalue()
    return chance.choice((flipped, cut, shortened))(whole, chance) if chance.random() < 1 / 3 else whole


def flipped(content: bytes, chance: random.Random) -> bytes:
    """Change some bytes."""
    changed = bytearray(content)
    for _ in range(chance.choice((1, 5, 40, 400))):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def shortened(content: bytes, chance: random.Random) -> bytes:
    """Leave out the end."""
    return content[: chance.randrange(len(content))]


def cut(content: bytes, chance: random.Random) -> bytes:
    """Leave out a piece of the middle."""
    begin = chance.randrange(len(content))
    return content[:begin] + content[begin + chance.choice((1, 20, 1_000)) :]


def repeated(content: bytes, chance: random.Random) -> bytes:
    """Write a piece again and again."""
    begin = chance.randrange(len(content))
    end = begin + chance.choice((10, 500, 5_000))
    return content[:end] + content[begin:end] * chance.choice((1, 3, 50)) + content[end:]


def duplicated_objects(content: bytes, chance: random.Random) -> bytes:
    """Write objects again, under numbers of others."""
    found = _OBJECT.findall(content)
    if not found:
        return repeated(content, chance)
    again = [chance.choice(found) for _ in range(chance.choice((1, 10, 200)))]
    numbered = [re.sub(rb"^\d+", str(chance.randrange(1, len(found) + 2)).encode(), piece) for piece in again]
    return content + b"\n".join(numbered) + b"\nstartxref\n0\n%%EOF"


def mixed_objects(content: bytes, chance: random.Random) -> bytes:
    """Exchange what two objects refer to."""
    places = list(re.finditer(rb"\d+ 0 R", content))
    if len(places) < 2:
        return flipped(content, chance)
    place, other = chance.choice(places), chance.choice(places)
    return content[: place.start()] + other.group() + content[place.end() :]


def wrong_numbers(content: bytes, chance: random.Random) -> bytes:
    """Replace numbers, which are lengths, counts, sizes, widths and references, by impossible ones."""
    places = list(_NUMBER.finditer(content))
    for place in sorted(chance.sample(places, min(len(places), chance.choice((1, 5, 30)))), key=lambda p: -p.start()):
        content = content[: place.start()] + chance.choice(_HUGE) + content[place.end() :]
    return content


def wrong_table(content: bytes, chance: random.Random) -> bytes:
    """Say that the cross-references are elsewhere, or nowhere."""
    place = chance.choice((b"0", b"7", b"-5", b"999999999999", str(chance.randrange(len(content))).encode()))
    return re.sub(rb"startxref\s+\d+", b"startxref\n" + place, content)


def huge_page(content: bytes, chance: random.Random) -> bytes:
    """Make pages as large as a country, or empty."""
    box = chance.choice((b"0 0 1e9 1e9", b"0 0 0 0", b"-1e38 -1e38 1e38 1e38", b"9 9 -9 -9", b"0 0 14400000 1"))
    return re.sub(rb"/MediaBox\s*\[[^]]*\]", b"/MediaBox [" + box + b"]", content)


def deep(content: bytes, chance: random.Random) -> bytes:
    """Put many brackets into each other."""
    depth = chance.choice((100, 5_000, 200_000))
    opening, closing = chance.choice(((b"[", b"]"), (b"<</A ", b">>"), (b"(", b")"), (b"q ", b"Q ")))
    place = chance.choice([match.end() for match in re.finditer(rb"<<|stream\r?\n", content)] or [0])
    return content[:place] + b"/Z " + opening * depth + closing * chance.choice((0, depth)) + content[place:]


def endless_pages(content: bytes, chance: random.Random) -> bytes:
    """Let the tree of pages contain itself, or claim to be endless."""
    kids = b" ".join(b"%d 0 R" % chance.randrange(1, 9) for _ in range(chance.choice((1, 3, 5_000))))
    content = re.sub(rb"/Kids\s*\[[^]]*\]", b"/Kids [" + kids + b"]", content)
    return re.sub(rb"/Count \d+", b"/Count " + chance.choice((b"3", b"100000", b"2147483647")), content)


def bomb_stream(content: bytes, chance: random.Random) -> bytes:
    """Add a content stream that becomes hundreds of megabytes, packed once or twice."""
    unit = chance.choice((b"\0", b"BT /F1 9 Tf (a) Tj ET ", b"q 1 0 0 1 0 0 cm ", b"[[[["))
    packed, filters = _packed(unit, chance.choice((20, 300))), b"/FlateDecode"
    if chance.random() < 0.5:
        packed, filters = zlib.compress(packed, 9), b"[/FlateDecode /FlateDecode]"
    contents = re.search(rb"/Contents (\d+) 0 R", content)
    number = contents.group(1) if contents else b"4"
    head = b"\n%s 0 obj\n<</Length %d /Filter %s>>\nstream\n" % (number, len(packed), filters)
    return content + head + packed + b"\nendstream\nendobj\nstartxref\n0\n%%EOF"


@cache
def _packed(unit: bytes, megabytes: int) -> bytes:
    packer = zlib.compressobj(1)
    block = unit * (1_000_000 // len(unit))
    return b"".join(packer.compress(block) for _ in range(megabytes)) + packer.flush()


PDF_MUTATIONS: Sequence[PdfMutation] = (
    flipped,
    flipped,
    shortened,
    cut,
    repeated,
    duplicated_objects,
    mixed_objects,
    wrong_numbers,
    wrong_numbers,
    wrong_table,
    huge_page,
    deep,
    endless_pages,
    bomb_stream,
)


def _replace(entries: Entries, name: str, content: bytes) -> None:
    for place, (info, _) in enumerate(entries):
        if info.filename == name:
            entries[place] = (info, content)


def _content(entries: Entries, name: str) -> bytes:
    return next((content for info, content in entries if info.filename == name), b"")


def _document(text: bytes, head: bytes = b"") -> bytes:
    body = b'<w:document xmlns:w="' + _W.encode() + b'"><w:body>' + text + b"</w:body></w:document>"
    return b'<?xml version="1.0" encoding="UTF-8"?>' + head + body


def broken_part(entries: Entries, chance: random.Random) -> None:
    """Break one of the files in the archive."""
    info, content = chance.choice(entries)
    if content:
        _replace(entries, info.filename, chance.choice((flipped, cut, shortened, repeated))(content, chance))


def missing_part(entries: Entries, chance: random.Random) -> None:
    """Leave one out."""
    entries.pop(chance.randrange(len(entries)))


def repeated_part(entries: Entries, chance: random.Random) -> None:
    """Put one in twice, with other contents."""
    info, content = chance.choice(entries)
    entries.append((zipfile.ZipInfo(info.filename), content[: len(content) // 2]))


def many_parts(entries: Entries, chance: random.Random) -> None:
    """Put many in."""
    entries.extend((zipfile.ZipInfo(f"word/media/{number}.xml"), b"<a/>") for number in range(5_000))


def paths_outside(entries: Entries, chance: random.Random) -> None:
    """Add files that an archive must not write, and links to files that are not the archive's."""
    for name in ("../../outside.txt", "/tmp/outside.txt", "C:\\outside.txt", "word/../../outside.xml"):
        entries.append((zipfile.ZipInfo(name), b"outside"))
    link = zipfile.ZipInfo(chance.choice(("word/link.xml", "word/header1.xml", "link")))
    link.external_attr = 0o120777 << 16
    entries.append((link, b"/etc/passwd"))


def other_targets(entries: Entries, chance: random.Random) -> None:
    """Let the document's relations lead elsewhere."""
    target = chance.choice(("file:///etc/passwd", "../../../../etc/passwd", "document.xml", "http://127.0.0.1:9/a", ""))
    for name in ("_rels/.rels", "word/_rels/document.xml.rels"):
        changed = re.sub(rb'Target="[^"]*"', b'Target="' + target.encode() + b'"', _content(entries, name))
        _replace(entries, name, changed)


def entities(entries: Entries, chance: random.Random) -> None:
    """Let entities expand to gigabytes, to a file or to an address."""
    grown = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    kinds = (
        f'<!ENTITY e0 "lol">{grown}',
        f'<!ENTITY e0 "{"lol" * 20_000}">{grown}',
        '<!ENTITY e9 SYSTEM "file:///etc/passwd">',
        '<!ENTITY e9 SYSTEM "http://127.0.0.1:9/a">',
        '<!ENTITY % p SYSTEM "file:///etc/passwd"> %p; <!ENTITY e9 "a">',
    )
    head = f"<!DOCTYPE d [{chance.choice(kinds)}]>".encode()
    _replace(entries, _DOCUMENT, _document(b"<w:p><w:r><w:t>&e9;</w:t></w:r></w:p>", head))


def bomb(entries: Entries, chance: random.Random) -> None:
    """Let a part become megabytes of elements, which a tree of them makes gigabytes."""
    unit = chance.choice((b" ", b"<w:p><w:r><w:t>a</w:t></w:r></w:p>", b"<w:p/>", b"a"))
    text = unit * (chance.choice((5, 60)) * 1_000_000 // len(unit))
    if unit == b"a":
        text = b"<w:p><w:r><w:t>" + text + b"</w:t></w:r></w:p>"
    name = chance.choice((_DOCUMENT, _DOCUMENT, "word/styles.xml", "[Content_Types].xml"))
    _replace(entries, name, _document(text))


def deep_document(entries: Entries, chance: random.Random) -> None:
    """Put tables, or fields, into each other."""
    depth = chance.choice((50, 3_000, 100_000))
    opening, closing = chance.choice(
        (
            (b"<w:tbl><w:tr><w:tc>", b"</w:tc></w:tr></w:tbl>"),
            (b"<w:sdt><w:sdtContent>", b"</w:sdtContent></w:sdt>"),
            (b"<w:p><w:r>", b"</w:r></w:p>"),
        )
    )
    _replace(entries, _DOCUMENT, _document(opening * depth + b"<w:p/>" + closing * depth))


def wide_table(entries: Entries, chance: random.Random) -> None:
    """Claim cells that span millions of columns."""
    span = chance.choice((b"1000000", b"-3", b"99999999999999999999", b"x"))
    cell = b'<w:tc><w:tcPr><w:gridSpan w:val="' + span + b'"/></w:tcPr><w:p><w:r><w:t>cell</w:t></w:r></w:p></w:tc>'
    row = b"<w:tr>" + cell * 20 + b"</w:tr>"
    _replace(entries, _DOCUMENT, _document(b"<w:tbl>" + row * 20 + b"</w:tbl>"))


DOCX_MUTATIONS: Sequence[DocxMutation] = (
    broken_part,
    broken_part,
    broken_part,
    missing_part,
    repeated_part,
    many_parts,
    paths_outside,
    other_targets,
    entities,
    bomb,
    deep_document,
    wide_table,
)
