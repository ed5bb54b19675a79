"""CITATION.cff keeps to the Citation File Format 1.2.0, and says what pyproject.toml says.

Keys are those of https://github.com/citation-file-format/citation-file-format/blob/1.2.0/schema.json.
"""

import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
REQUIRED = {"cff-version", "message", "title", "authors"}
ALLOWED = REQUIRED | {
    *("abstract", "commit", "contact", "date-released", "doi", "identifiers", "keywords", "license", "license-url"),
    *("preferred-citation", "references", "repository", "repository-artifact", "repository-code", "type", "url"),
    "version",
}
PERSON = {"family-names", "given-names", "name-particle", "name-suffix", "alias", "affiliation", "email", "orcid"}
ENTITY = {"name", "alias", "email", "website", "orcid"}


@pytest.fixture(scope="module")
def citation():
    return yaml.safe_load((ROOT / "CITATION.cff").read_text())


def test_the_keys_are_those_of_the_format(citation):
    assert REQUIRED <= citation.keys() <= ALLOWED
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] in ("software", "dataset")


def test_every_author_has_a_name(citation):
    for work in (citation, *citation["references"]):
        assert work["authors"]
        for author in work["authors"]:
            assert author.keys() <= (ENTITY if "name" in author else PERSON)
            assert "name" in author or {"family-names", "given-names"} <= author.keys()
            assert all(isinstance(value, str) and value for value in author.values())


def test_a_reference_is_complete(citation):
    for work in citation["references"]:
        assert {"type", "title", "authors"} <= work.keys()
        assert {"type", "value"} == set().union(*work["identifiers"])


def test_it_agrees_with_the_package(citation):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
