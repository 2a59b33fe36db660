"""XMP packets with the IPTC label for media made by a model, and with the recipe.

Follows XMP part 1 (ISO 16684-1) and the IPTC's NewsCodes for the digital source type.
"""

from __future__ import annotations

import re
from html import escape, unescape

MADE_BY_MODEL = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
MAX_BYTES = 64 * 2**20
NAMESPACE = "urn:studio-local:1"

_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:studio="{namespace}">
<xmp:CreatorTool>Studio</xmp:CreatorTool>
<Iptc4xmpExt:DigitalSourceType>{label}</Iptc4xmpExt:DigitalSourceType>{recipe}
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""

_RECIPE = re.compile(rb"<studio:recipe>([^<]*)</studio:recipe>")
_PARAMETERS = re.compile(
    rb"<(?:[\w.]+:)?(?:parameters|UserComment|description)\b[^>]*>\s*(?:<rdf:(?:Alt|Seq|Bag)>\s*<rdf:li\b[^>]*>)?([^<]+)<"
)
_NOT_XML = {code: f"\\u{code:04x}" for code in (0xFFFE, 0xFFFF)}


def build_packet(recipe_json: str = "") -> bytes:
    """Build a packet with the label that a model made this, and with the recipe unless it is empty."""
    text = escape(recipe_json.translate(_NOT_XML), quote=False).encode("utf-8", "replace").decode()
    inside = f"\n<studio:recipe>{text}</studio:recipe>" if text else ""
    return _PACKET.format(namespace=NAMESPACE, label=MADE_BY_MODEL, recipe=inside).encode()


def read_recipe_json(content: bytes) -> str:
    """Return the recipe in a packet, or an empty string. Does not parse XML, so no entity is expanded."""
    if len(content) > MAX_BYTES:
        return ""
    found = _RECIPE.search(content)
    return unescape(found[1].decode("utf-8", "replace")) if found else ""


def read_parameters(content: bytes) -> str:
    """Return the parameters that another tool wrote into a packet, or an empty string."""
    if len(content) > MAX_BYTES:
        return ""
    for found in _PARAMETERS.finditer(content):
        text = unescape(found[1].decode("utf-8", "replace"))
        if "Steps: " in text or text.lstrip().startswith("{"):
            return text
    return ""
