"""XMP packets with the IPTC label for media made by a model, and with the recipe.

Follows XMP part 1 (ISO 16684-1) and the IPTC's NewsCodes for the digital source type.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from html import escape, unescape
from itertools import islice

SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
MADE_BY_MODEL = f"{SOURCE_TYPES}trainedAlgorithmicMedia"
MAX_BYTES = 16 * 2**20
NAMESPACE = "urn:studio-local:1"

_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:studio="{namespace}">
<xmp:CreatorTool>Studio</xmp:CreatorTool>
<Iptc4xmpExt:DigitalSourceType>{label}</Iptc4xmpExt:DigitalSourceType>{recipe}
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""

_RECIPE_TAGS = (b"<studio:recipe>", b"</studio:recipe>")
_TEXT_ELEMENT = re.compile(rb"(?:parameters|UserComment|description)(?=[\s/>])")
"""Local names of the elements in which other tools write parameters. Nothing in it repeats, so it is searched once."""
_SPACES = re.compile(rb"\s*")
_CONTAINERS = (b"<rdf:Alt>", b"<rdf:Seq>", b"<rdf:Bag>")
_IN_PREFIX = string.ascii_letters.encode() + string.digits.encode() + b"_.-"
_MAX_PREFIX = 64
"""Maximum length of an element's name space prefix, in bytes."""
_MAX_ELEMENTS = 2000
"""Maximum number of text elements that are looked at."""
_NOT_XML = {code: f"\\u{code:04x}" for code in (0xFFFE, 0xFFFF)}


def build_packet(recipe_json: str = "", label: str = MADE_BY_MODEL) -> bytes:
    """Build a packet with the label of the source, and with the recipe unless it is empty."""
    text = escape(recipe_json.translate(_NOT_XML), quote=False).encode("utf-8", "replace").decode()
    inside = f"\n<studio:recipe>{text}</studio:recipe>" if text else ""
    return _PACKET.format(namespace=NAMESPACE, label=label, recipe=inside).encode()


def read_recipe_json(content: bytes) -> str:
    """Return the recipe in a packet, or an empty string. Does not parse XML, so no entity is expanded."""
    if len(content) > MAX_BYTES:
        return ""
    begin, end = _RECIPE_TAGS
    _, tag, rest = content.partition(begin)
    text, closing, _ = rest.partition(end)
    return unescape(text.decode("utf-8", "replace")) if tag and closing and b"<" not in text else ""


def read_parameters(content: bytes) -> str:
    """Return the parameters that another tool wrote into a packet, or an empty string."""
    if len(content) > MAX_BYTES:
        return ""
    for element in _iterate_texts(content):
        text = unescape(element.decode("utf-8", "replace"))
        if "Steps: " in text or text.lstrip().startswith("{"):
            return text
    return ""


def _iterate_texts(content: bytes) -> Iterator[bytes]:
    """Yield the text at the beginning of each text element, going once through the packet."""
    at = 0
    for name in islice(_TEXT_ELEMENT.finditer(content), _MAX_ELEMENTS):
        if name.start() < at or not _opens_tag(content, name.start()):
            continue
        at = content.find(b">", name.end()) + 1
        start = _skip_tag(content, _skip_tag(content, at, _CONTAINERS), (b"<rdf:li",))
        end = content.find(b"<", start)
        if not at or end < 0:
            return
        if end > start:
            yield content[start:end]
        at = end


def _opens_tag(content: bytes, at: int) -> bool:
    """Check whether ``<`` or ``<prefix:`` stands before a position."""
    before = content[max(0, at - _MAX_PREFIX - 2) : at]
    prefix = before[before.rfind(b"<") + 1 :]
    return b"<" in before and (not prefix or (prefix.endswith(b":") and not prefix[:-1].translate(None, _IN_PREFIX)))


def _skip_tag(content: bytes, start: int, tags: tuple[bytes, ...]) -> int:
    """Return the position behind white space and one of the opening tags; the start if there is none."""
    at = start
    if spaces := _SPACES.match(content, at):
        at = spaces.end()
    if not content.startswith(tags, at):
        return start
    end = content.find(b">", at)
    return end + 1 if end >= 0 else start
