"""The documents agree with the published data, to the letter."""

from capacity.results import main


def test_every_document_is_what_the_data_print(capsys):
    assert main(["--check"]) == 0, capsys.readouterr().err
