"""Read documents as spaCy does, and print what it made of them; run where spaCy is installed.

python read_spacy.py FILE...
"""

import json
import sys
from pathlib import Path

import spacy
from spacy.tokens import Doc, DocBin

nlp = spacy.blank("xx")
for name in sys.argv[1:]:
    written = json.loads(Path(name).read_text(encoding="utf-8"))
    doc = Doc(nlp.vocab).from_json(written, validate=True)
    # As training data: what DocBin cannot hold, `spacy train` does not read.
    (kept,) = DocBin().from_bytes(DocBin(docs=[doc]).to_bytes()).get_docs(nlp.vocab)
    groups = DocBin(docs=[doc], store_user_data=True).to_bytes()
    (whole,) = DocBin().from_bytes(groups).get_docs(nlp.vocab)
    assert all(doc.char_span(span["start"], span["end"]) is not None for span in written["spans"]["sc"])
    print(
        json.dumps(
            {
                "text": kept.text,
                "ents": [[span.label_, span.text] for span in kept.ents],
                "spans": [[span.label_, span.text] for span in whole.spans["sc"]],
            }
        )
    )
