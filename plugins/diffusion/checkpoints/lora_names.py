"""Names of the tensors in LoRA files, and what they tell: the module, the role, the kind, the family."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

BUNDLED_EMBEDDING = "bundle_emb."
"""Prefix of textual inversions that come inside a LoRA."""
_ADAPTER_ROLES = (".lora_A", ".lora_B", ".lora_magnitude_vector")
"""Roles after which peft writes the adapter's name."""
_ROLES = {
    ".lora_A": "down",
    ".lora_B": "up",
    ".lora_down": "down",
    ".lora_up": "up",
    ".lora_mid": "mid",
    ".lora.down": "down",
    ".lora.up": "up",
    "_lora.down": "down",
    "_lora.up": "up",
    ".lora_linear_layer.down": "down",
    ".lora_linear_layer.up": "up",
    "_lora.alpha": "alpha",
    ".alpha": "alpha",
    ".dora_scale": "magnitude",
    ".lora_magnitude_vector": "magnitude",
    ".diff": "diff",
    ".diff_b": "diff_b",
    ".w_norm": "diff",
    ".b_norm": "diff_b",
    **{f".hada_{role}": f"hada_{role}" for role in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")},
    **{f".lokr_{role}": f"lokr_{role}" for role in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")},
    ".oft_blocks": "oft",
    ".oft_diag": "oft",
    ".oft_R": "oft",
    ".on_input": "ia3",
    ".a1": "glora",
    ".a2": "glora",
    ".b1": "glora",
    ".b2": "glora",
}
_KINDS = {
    "down": "LoRA",
    "hada_w1_a": "LoHa",
    "lokr_w1": "LoKr",
    "lokr_w1_a": "LoKr",
    "diff": "full difference",
    "diff_b": "full difference",
    "oft": "OFT",
    "ia3": "(IA)³",
    "glora": "GLoRA",
}
"""Kinds by a role that each of their layers has."""
_FAMILIES = (
    ("FLUX", ("double_blocks", "single_blocks", "single_transformer_blocks")),
    ("Stable Diffusion 3", ("joint_blocks",)),
    ("Qwen-Image", ("img_mod", "txt_mlp")),
    ("PixArt", ("adaln_single",)),
    ("Wan", ("_cross_attn_", "blocks_0_attn2_add_k")),
    ("Z-Image or Lumina", ("layers_0_attention_", "context_refiner", "noise_refiner")),
    ("AuraFlow", ("joint_transformer_blocks",)),
    ("Stable Diffusion 3 or FLUX", ("_add_k_proj", "_add_q_proj", "_add_v_proj")),
    ("a language model", ("model_layers_",)),
)
"""Parts of module names, with underscores, by family."""
_BY_TEXT_WIDTH = {768: "Stable Diffusion 1", 1024: "Stable Diffusion 2", 2048: "Stable Diffusion XL"}


def split_name(name: str) -> tuple[str, str]:
    """Split a tensor's name into module and role; the role is empty where it is unknown."""
    bare = name.removesuffix(".weight")
    head, dot, _ = bare.rpartition(".")
    if dot and head.endswith(_ADAPTER_ROLES) and not bare.endswith(".bias"):
        bare = head
    for suffix, role in _ROLES.items():
        if bare.endswith(suffix):
            return bare.removesuffix(suffix), role
    return bare, ""


def bundled_embeddings(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Find the textual inversions in a LoRA file: by word, the names of its tensors by role, such as ``clip_l``."""
    found: dict[str, dict[str, str]] = {}
    for name in names:
        if name.startswith(BUNDLED_EMBEDDING):
            word, _, role = name.removeprefix(BUNDLED_EMBEDDING).removesuffix(".*").rpartition(".")
            found.setdefault(word or role, {})[role] = name
    return found


def describe(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Describe a LoRA file by kind and family, with an article: ``a LoHa for Stable Diffusion XL``."""
    kind = kind_of({split_name(name)[1] for name in shapes})
    article = "an" if kind == "OFT" else "a"
    family = _family_of(shapes)
    return f"{article} {kind} for {family}" if family else f"{article} {kind}"


def kind_of(roles: Collection[str]) -> str:
    """Return the name of a layer's or a file's kind."""
    kinds = [kind for role, kind in _KINDS.items() if role in roles]
    rare = [kind for kind in kinds if kind not in ("LoRA", "full difference")]
    if "magnitude" in roles:
        return "DoRA"
    return rare[0] if rare else kinds[0] if kinds else "LoRA"


def _family_of(shapes: Mapping[str, tuple[int, ...]]) -> str:
    modules = {split_name(name)[0].replace(".", "_") for name in shapes}
    for family, parts in _FAMILIES:
        if any(part in module for module in modules for part in parts):
            return family
    if not any("attn2" in module for module in modules):
        is_for_text = modules and all("text_model" in module or module.startswith("lora_te") for module in modules)
        return "the text encoder alone" if is_for_text else ""
    for name, shape in shapes.items():
        module, role = split_name(name)
        if module.replace(".", "_").endswith("attn2_to_k") and role in ("down", "diff", "hada_w1_b"):
            return _BY_TEXT_WIDTH.get(shape[-1], f"a model whose text has a width of {shape[-1]}")
    return ""
