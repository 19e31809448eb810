"""The versions that the page says were tested."""

import re

from tests.clients.versions import ROOT, versions_tested


def test_the_page_names_every_client_with_its_version_once() -> None:
    page = (ROOT / "docs" / "dialects.md").read_text(encoding="utf-8")
    (said,) = re.findall(r"^Tested with (.*?)\.\n\n", page, re.MULTILINE | re.DOTALL)
    named = re.findall(r"`([^`]+)` ([\d.]+\d)", said)
    assert sorted(named) == sorted(versions_tested().items())
