"""Formats of sizes, times, numbers and devices."""

import pytest

from studio.core import humanize
from studio.core.descriptor import DeviceReport


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (5 * 2**20, "5 MB"), (2**30 - 1, "1024 MB"), (int(3.4 * 2**30), "3.4 GB"), (12 * 2**30, "12 GB")],
)
def test_memory_counts_in_units_of_1024(count: int, text: str) -> None:
    assert humanize.format_memory(count) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1_500, "1.5 KB"), (2_500_000_000, "2.5 GB"), (10**12, "1000 GB")],
)
def test_file_sizes_count_in_units_of_1000(count: int, text: str) -> None:
    assert humanize.format_size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.01, "a moment"), (0.9, "0.9 s"), (40, "40 s"), (180, "3 min"), (4800, "1 h 20 min"), (7200, "2 h")],
)
def test_estimated_times_are_rounded(seconds: float, text: str) -> None:
    assert humanize.format_seconds(seconds) == text


def test_durations_and_grouped_digits() -> None:
    assert (humanize.format_duration(2.04), humanize.format_duration(75)) == ("2.0 s", "1 min 15 s")
    assert humanize.group_digits(41882) == "41\u202f882"


def test_a_device_is_named_by_kind_and_model() -> None:
    assert humanize.describe_device(DeviceReport(kind="cuda", name="NVIDIA H200")) == "GPU · NVIDIA H200"
    assert humanize.describe_device(DeviceReport(kind="cpu", name="CPU")) == "CPU"


@pytest.mark.parametrize(
    ("kind", "words"), [("lora", "LoRA"), ("ip-adapter", "IP-Adapter"), ("masked-language", "Masked language")]
)
def test_kinds_of_models_are_named(kind: str, words: str) -> None:
    assert humanize.describe_model_kind(kind) == words
