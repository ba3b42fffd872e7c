"""VTK's XML files, read without entities or document types, and the bytes that follow the XML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from fedvox.client.ingest.reasons import Quarantined, Reason

_MOST_BYTES = 4 << 30
_MOST_XML_BYTES = 1 << 30
_MOST_ELEMENTS = 10_000
_DEEPEST = 32
_APPENDED = re.compile(rb"<AppendedData\b[^>]*>")


@dataclass(frozen=True)
class Element:
    """One element, and the text of it where it is an array."""

    name: str
    parent: str
    attributes: Mapping[str, str]
    text: str = field(default="", repr=False)


@dataclass(frozen=True)
class Document:
    """The elements of a file in order, and what comes after them."""

    elements: tuple[Element, ...]
    appended: memoryview
    """Of the bytes that follow the XML, those after the underscore."""

    @property
    def root(self) -> Mapping[str, str]:
        """The attributes of VTKFile."""
        return self.elements[0].attributes

    def all(self, name: str) -> list[Element]:
        """The elements of that name."""
        return [element for element in self.elements if element.name == name]


class _Strange(Exception):
    """The XML holds what no VTK file holds."""


def read_document(path: Path) -> Document:
    """The file, or Quarantined where it is not XML or holds what could be an attack."""
    size = path.stat().st_size
    if size > _MOST_BYTES:
        raise Quarantined(Reason.TOO_LARGE, f"{size:,} bytes are more than is read")
    data = path.read_bytes()
    mark = _APPENDED.search(data)
    xml = memoryview(data)[: mark.end() if mark else len(data)]
    if len(xml) > _MOST_XML_BYTES:
        raise Quarantined(Reason.TOO_LARGE, f"{len(xml):,} bytes of XML are more than is read")
    try:
        elements = _Collector().collect(xml, whole=mark is None)
    except (expat.ExpatError, _Strange) as error:
        raise Quarantined(Reason.UNREADABLE, f"not the XML of a VTK file: {error}") from None
    if not elements or elements[0].name != "VTKFile":
        raise Quarantined(Reason.UNREADABLE, "not a VTK file")
    start = data.find(b"_", mark.end()) + 1 if mark else len(data)
    if mark and not start:
        raise Quarantined(Reason.PIXEL_DATA_DAMAGED, "the appended data does not begin")
    return Document(elements, memoryview(data)[start:])


class _Collector:
    """Gathers elements while expat reads."""

    def __init__(self) -> None:
        self._found: list[Element] = []
        self._texts: dict[int, list[str]] = {}
        self._open: list[int] = []

    def collect(self, xml: memoryview, whole: bool) -> tuple[Element, ...]:
        """All elements; without `whole` the XML may break off."""
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse
        parser.EntityDeclHandler = self._refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        step = 1 << 20
        for at in range(0, len(xml), step):
            parser.Parse(bytes(xml[at : at + step]), False)
        if whole:
            parser.Parse(b"", True)
        return tuple(
            Element(e.name, e.parent, e.attributes, "".join(self._texts.get(at, ())))
            for at, e in enumerate(self._found)
        )

    def _refuse(self, *_: object) -> None:
        raise _Strange("it declares a document type or entities")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._found) >= _MOST_ELEMENTS or len(self._open) >= _DEEPEST:
            raise _Strange("it holds too many elements")
        parent = self._found[self._open[-1]].name if self._open else ""
        self._open.append(len(self._found))
        self._found.append(Element(name, parent, attributes))

    def _end(self, _: str) -> None:
        self._open.pop()

    def _characters(self, text: str) -> None:
        if self._open and self._found[self._open[-1]].name == "DataArray":
            self._texts.setdefault(self._open[-1], []).append(text)
