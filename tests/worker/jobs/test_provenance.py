"""The models of a result, identified by the hash of their weights."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.core.paths import Home
from studio.core.recipe import ModelRef
from studio.library.models import hub_cache
from studio.worker.jobs.provenance import Provenance


@pytest.fixture
def provenance(tmp_path: Path) -> Iterator[Provenance]:
    provenance = Provenance(tmp_path / "hashes.json")
    yield provenance
    provenance.close()


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_file_and_a_folder_with_one_are_the_same_model(provenance: Provenance, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(b"weights")
    (tmp_path / "model" / "model.bin").write_bytes(b"a copy in another format")
    (tmp_path / "model" / "config.json").write_text("{}")
    of_file = provenance.note_model("it", weights).result()
    assert of_file == ModelRef("it", digest_of(b"weights"))
    assert provenance.note_model("it", tmp_path / "model").result() == of_file


def test_several_weight_files_give_one_hash_of_names_and_digests(provenance: Provenance, tmp_path: Path) -> None:
    for part in ("unet", "vae"):
        (tmp_path / "pipe" / part).mkdir(parents=True)
        (tmp_path / "pipe" / part / "model.safetensors").write_bytes(part.encode())
    lines = "".join(f"{part}/model.safetensors:{digest_of(part.encode())}\n" for part in ("unet", "vae"))
    assert provenance.note_model("pipe", tmp_path / "pipe").result().sha256 == digest_of(lines.encode())


def test_a_hash_is_cached_until_the_file_changes(provenance: Provenance, tmp_path: Path) -> None:
    weights = tmp_path / "a.safetensors"
    weights.write_bytes(b"one")
    provenance.note_model("a", weights).result()
    state = weights.stat()
    hashes = json.loads((tmp_path / "hashes.json").read_text())
    hashes[str(weights)]["sha256"] = "remembered"
    (tmp_path / "hashes.json").write_text(json.dumps(hashes))
    again = Provenance(tmp_path / "hashes.json")
    assert again.note_model("a", weights).result().sha256 == "remembered"
    weights.write_bytes(b"two")
    os.utime(weights, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert again.note_model("a", weights).result().sha256 == digest_of(b"two")
    again.close()


def test_a_missing_model_keeps_its_name(provenance: Provenance, tmp_path: Path) -> None:
    assert provenance.note_model("gone", tmp_path / "gone.safetensors").result() == ModelRef("gone")


def test_a_hub_model_is_identified_by_its_cache(
    provenance: Provenance, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    name, blob = "someone/tiny", "a" * 64
    assert provenance.complete(
        provenance.note_hub_model(name).result(), hub_cache.find_downloaded(home, name)
    ) == ModelRef(name)
    cache = tmp_path / "hub" / "models--someone--tiny"
    snapshot = cache / "snapshots" / "c0ffee"
    for folder in (snapshot, cache / "blobs", cache / "refs"):
        folder.mkdir(parents=True)
    (cache / "refs" / "main").write_text("c0ffee")
    (cache / "blobs" / blob).write_bytes(b"weights")
    (snapshot / "model.safetensors").symlink_to(cache / "blobs" / blob)
    (snapshot / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Tiny\n")
    assert provenance.complete(ModelRef(name), hub_cache.find_downloaded(home, name)) == ModelRef(
        name, blob, "apache-2.0"
    )
