"""Licences of models are found, described, and accepted once."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.core.paths import Home
from studio.library.models import licences, offers
from studio.library.models.licences import LicenceTerms
from tests.fixtures import gguf
from tests.library.models.test_external_folders import write_weights


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("studio.json", '{"licence": "CC0 1.0"}', "CC0 1.0"),
        ("README.md", "---\ntags: []\nlicense: 'mit'\n---", "mit"),
        ("README.md", "---\r\nlicense: apache-2.0\r\n---\r\n# A model", "apache-2.0"),
        ("README.md", "---\nlicense: other\nlicense_name: its-own\n---\n", "its-own"),
        ("README.md", "---\nlicense: other\n---\n", "other"),
        ("README.md", "---\ntags: []\n---\nlicense: mit\n", ""),
        ("README.md", "no front matter", ""),
        ("studio.json", "not json", ""),
    ],
)  # fmt: skip
def test_the_licence_of_a_folder(tmp_path: Path, name: str, content: str, expected: str) -> None:
    (tmp_path / name).write_bytes(content.encode())
    assert licences.licence_of(tmp_path) == expected


def test_the_licence_in_a_safetensors_header(tmp_path: Path) -> None:
    said = write_weights(tmp_path / "a.safetensors", **{"modelspec.license": "CC-BY-NC-4.0"})
    assert licences.licence_of(said) == "CC-BY-NC-4.0"
    assert licences.licence_of(write_weights(tmp_path / "b.safetensors")) == ""
    (tmp_path / "cut.safetensors").write_bytes(b"\xff" * 12)
    assert licences.licence_of(tmp_path / "cut.safetensors") == ""
    assert licences.licence_of(tmp_path / "gone.safetensors") == ""


def test_the_licence_in_a_gguf_header(tmp_path: Path) -> None:
    keys = {
        "general.license": "other",
        "general.license.name": "its-own",
        "general.license.link": "https://a.org/terms",
    }
    file = gguf.write_gguf(tmp_path / "a.gguf", keys=keys, tensors=gguf.WEIGHTS)
    assert licences.terms_of("a", file) == LicenceTerms("a", "its-own", "https://a.org/terms")
    plain = gguf.write_gguf(tmp_path / "b.gguf", keys={"general.license": "mit"}, tensors=gguf.WEIGHTS)
    assert licences.licence_of(plain) == "mit"
    assert licences.licence_of(tmp_path / "gone.gguf") == ""


@pytest.mark.parametrize(
    ("licence", "sentence"),
    [
        ("apache-2.0", "A is under the Apache licence 2.0."),
        ("cc-by-nc-4.0", "A is under CC BY-NC 4.0, not for commercial use."),
        ("flux-1-dev-non-commercial-license", "A is under the FLUX.1 [dev] licence, not for commercial use."),
        ("sai-nc-community", "A is under Stability AI's non-commercial licence, not for commercial use."),
        ("Somebody's NonCommercial Terms", "A is under Somebody's NonCommercial Terms, not for commercial use."),
        ("francis-1.0", "A is under francis-1.0."),
        ("", "A does not state its licence."),
    ],
)
def test_a_licence_is_described(licence: str, sentence: str) -> None:
    assert LicenceTerms("A", licence).sentence == sentence


def test_the_link_of_a_licence(tmp_path: Path) -> None:
    model = tmp_path / "models--org--a" / "snapshots" / "abc"
    model.mkdir(parents=True)
    card = model / "README.md"
    card.write_text("---\nlicense: other\nlicense_link: https://example.org/terms\n---\n")
    assert licences.terms_of("org/a", model).link == "https://example.org/terms"
    card.write_text("---\nlicense: other\nlicense_link: ../../outside\n---\n")
    assert licences.terms_of("org/a", model).link == "https://huggingface.co/org/a"
    (model / "LICENSE.md").write_text("Terms")
    assert licences.terms_of("org/a", model).link == str(model / "LICENSE.md")
    card.write_text("---\nlicense: mit\nlicense_link: file:///etc/passwd\n---\n")
    (model / "LICENSE.md").unlink()
    assert licences.terms_of("a", card.parent).link == "https://huggingface.co/org/a"


def test_unaccepted_licences(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    mine = home.models / "mine"
    mine.mkdir()
    (mine / "studio.json").write_text('{"licence": "cc-by-nc-4.0"}')
    cached = tmp_path / "hub" / "models--org--a" / "snapshots" / "abc"
    cached.mkdir(parents=True)
    (cached / "README.md").write_text("---\nlicense: mit\n---\n")
    starter = next(offers.starters_folder().glob("*/studio.json")).parent.name
    choices = [starter, "mine", "org/a", "org/not-here", "nothing", "mine"]
    found = licences.find_unaccepted(home, choices, [])
    assert [(terms.model, terms.licence) for terms in found] == [("mine", "cc-by-nc-4.0"), ("org/a", "mit")]
    assert licences.find_unaccepted(home, choices, [terms.key for terms in found]) == []
    (mine / "studio.json").write_text('{"licence": "another"}')
    assert [terms.licence for terms in licences.find_unaccepted(home, choices, [terms.key for terms in found])] == [
        "another"
    ]
