"""What another tool wrote is listed as named fields."""

from __future__ import annotations

from pathlib import Path

from studio.library.foreign.fields import list_fields, read_fields
from studio.library.foreign.lora_values import ForeignLora
from studio.library.foreign.metadata import ForeignMetadata
from tests.library.foreign.test_metadata import TEXT, png_with


def test_fields_have_values_and_texts(tmp_path: Path) -> None:
    fields = {field.name: field for field in read_fields(png_with(tmp_path / "a.png", {"parameters": TEXT}))}
    assert fields["prompt"].value == "a fox"
    assert fields["size"].value == (512, 768)
    assert fields["size"].text == "512 × 768"
    assert (fields["guidance"].value, fields["guidance"].text) == (6.5, "6.5")
    assert fields["seed"].title == "Seed"


def test_absent_values_are_left_out_and_unknown_settings_come_last() -> None:
    loras = [ForeignLora(name="fur", weight=0.8), ForeignLora(name="a/b", text_encoder_weight=0.5)]
    fields = list_fields(ForeignMetadata(source="x", seed=0, loras=loras, more={"Hires steps": "5"}))
    assert [field.name for field in fields] == ["seed", "loras", "more.Hires steps"]
    assert fields[1].text == "fur (0.8)\na/b (1, 0.5)"
    assert fields[2].title == "Hires steps"


def test_a_file_without_metadata_offers_nothing(tmp_path: Path) -> None:
    assert read_fields(png_with(tmp_path / "a.png", {})) == []
    assert read_fields(tmp_path / "none.png") == []
