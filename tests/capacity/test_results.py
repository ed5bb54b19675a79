"""The documents agree with the published data, to the letter."""

from capacity.results import documents, main


def test_every_document_is_what_the_data_print():
    wrong = [str(path) for path, text in documents() if path.read_text(encoding="utf-8") != text]
    assert not wrong, f"these disagree with results/: {wrong}; run make results"
    assert main(["--check"]) == 0
