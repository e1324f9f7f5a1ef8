"""The documentation does what it says: its commands run, its references are current, its links lead somewhere.

`tests/kit/documents.py` says how a block is written. Each document is followed from its first
block to its last by one reader in a fresh home, against a real server. The ports in the text are
the defaults, 8443 and 9443; while reading, free ones take their place, in commands and in outputs.
``scripts/serve`` is not run here (it would install into this very checkout): the server is started
by the two commands it consists of, and their output is compared with the one shown.
"""

import shutil
from pathlib import Path

import pytest

from tests.kit.documents import DOCUMENTS, ROOT, blocks
from tests.kit.reader import reading

RUN = ("console", "python")


def name_of(path: Path) -> str:
    """As a test's id."""
    return str(path.relative_to(ROOT))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_a_reader_sees_what_the_document_shows(document: Path, tmp_path: Path) -> None:
    """Every command succeeds and prints what stands under it, in the order of the document."""
    every = [block for block in blocks(document.read_text()) if block.language in RUN]
    if not every:
        return
    wanting = {tool for block in every for tool in block.needs if shutil.which(tool) is None}
    with reading(tmp_path, path_is_set=document.name != "README.md") as reader:
        complaints = [
            complaint
            for block in every
            if not wanting.intersection(block.needs)
            for complaint in reader.follow(block)
        ]
    assert not complaints, "\n\n".join(complaints)
    if wanting:
        pytest.skip(f"some blocks need what is not here: {', '.join(sorted(wanting))}")
