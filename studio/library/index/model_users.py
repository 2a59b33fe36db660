"""What in the library was made with a model."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping

from studio.library.creation import CreationKind
from studio.library.index import schema

_NOUNS = {
    CreationKind.IMAGE: ("image", "images"),
    CreationKind.ANIMATION: ("animation", "animations"),
    CreationKind.TEXT: ("text", "texts"),
    CreationKind.MODEL: ("model", "models"),
}
LORA = "lora"


def count_users(connection: sqlite3.Connection, marks: Collection[str], excluded: Collection[str]) -> dict[str, int]:
    """Count the creations whose recipes have one of these marks: ids of models or digests of their weights.

    Returns numbers by kind, of LoRAs as ``lora``. What is in the trash or among the `excluded` ids does not count.
    """
    if not marks:
        return {}
    found = " OR ".join(["instr(d.recipe, ?) > 0"] * len(marks))
    others = ", ".join("?" * len(excluded))
    rows = connection.execute(
        f"SELECT c.kind, c.model_kind, count(*) FROM creations c JOIN details d ON d.key = c.key "
        f"WHERE c.shelf = ? AND c.id NOT IN ({others}) AND ({found}) GROUP BY c.kind, c.model_kind",
        (schema.SHOWN, *excluded, *marks),
    ).fetchall()
    counts: dict[str, int] = {}
    for kind, model_kind, count in rows:
        name = LORA if model_kind == LORA else str(kind)
        counts[name] = counts.get(name, 0) + count
    return counts


def describe_users(counts: Mapping[str, int]) -> str:
    """Return sentences about what was made with a model, and what that means when it is deleted; empty for nothing."""
    made = [
        f"{counts[kind.value]:,} {words[counts[kind.value] > 1]}"
        for kind, words in _NOUNS.items()
        if counts.get(kind.value)
    ]
    sentences = []
    if made:
        total = sum(counts.get(kind.value, 0) for kind in _NOUNS)
        listed = f"{', '.join(made[:-1])} and {made[-1]}" if len(made) > 1 else made[0]
        was, they_stay = ("was", "it stays") if total == 1 else ("were", "they stay")
        sentences.append(
            f"{listed} {was} made with it; {they_stay}, and cannot be made again once the model is deleted."
        )
    if loras := counts.get(LORA, 0):
        subject, verb = ("1 LoRA was", "works") if loras == 1 else (f"{loras:,} LoRAs were", "work")
        sentences.append(f"{subject} trained for it and {verb} only with it.")
    return " ".join(sentences)
