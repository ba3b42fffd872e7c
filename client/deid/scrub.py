"""Takes everything that may name a person out of a DICOM dataset, at every depth."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from fedvox.client.deid import words
from fedvox.client.deid.profile import Action, Options, action_for
from fedvox.client.deid.sitekey import SiteKey

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset

_STANDARD_UIDS = "1.2.840.10008."
_REPEATING = range(0x5000, 0x6100)
"""Groups of curves and overlays: drawings and their texts."""
_DUMMIES = {"DA": "19000101", "TM": "000000", "DT": "19000101000000", "AS": "000Y", "IS": "0"}
_DEEPEST = 32


@dataclass
class Scrubber:
    """De-identifies the instances of one patient, and counts what it did."""

    key: SiteKey
    options: Options
    patient: str = field(repr=False)
    """The raw identifier."""
    names: frozenset[str] = field(default=frozenset(), repr=False)
    """Words that name somebody in this file."""
    counts: Counter[str] = field(default_factory=Counter)
    """How often each action was taken."""
    unreadable: int = 0
    """Attributes that were removed because their values made no sense."""

    def scrub(self, dataset: Dataset, depth: int = 0) -> None:
        """Changes the dataset in place."""
        is_code = "CodingSchemeDesignator" in dataset or "CodeMeaning" in dataset
        if is_code:
            self._code(dataset)
        for tag in list(dataset.keys()):
            if depth > _DEEPEST or tag.is_private or tag.group in _REPEATING or not tag.element:
                self._remove(dataset, tag)
                continue
            try:
                element = dataset[tag]
                # What the dictionary does not know is as good as private, whatever its kind.
                action = self._action(element, is_code) if element.keyword else Action.REMOVE
                self._apply(dataset, element, action, depth)
            except Exception:  # what cannot be read cannot be judged
                self.unreadable += 1
                self._remove(dataset, tag)
            else:
                self.counts[action] += 1

    def _action(self, element: DataElement, is_code: bool) -> Action:
        if is_code and element.keyword in ("CodeValue", "CodeMeaning", "CodingSchemeDesignator"):
            return Action.KEEP  # judged together, before
        return action_for(element.keyword, element.VR, self.options)

    def _remove(self, dataset: Dataset, tag: Any) -> None:
        dataset.pop(tag, None)
        self.counts[Action.REMOVE] += 1

    def _apply(self, dataset: Dataset, element: DataElement, action: Action, depth: int) -> None:
        if action is Action.REMOVE:
            del dataset[element.tag]
        elif action is Action.ENTER:
            for item in element.value or ():
                self.scrub(item, depth + 1)
        elif action is Action.EMPTY:
            dataset.add_new(element.tag, element.VR, [] if element.VR == "SQ" else None)
        elif action is Action.DUMMY:
            dataset.add_new(element.tag, element.VR, _DUMMIES.get(element.VR, "REMOVED"))
        elif action is Action.PSEUDONYM:
            dataset.add_new(element.tag, element.VR, self.key.pseudonym(self.patient))
        else:
            self._set(dataset, element, action)

    def _rules(self) -> dict[Action, Callable[[DataElement, Any], Any]]:
        return {
            Action.REMAP: lambda element, value: self._uid(str(value)),
            Action.SHIFT: lambda element, value: self._shifted(str(value)),
            Action.CLEAN: lambda element, value: words.cleaned(
                element.keyword, str(value), self.names
            ),
            Action.KEEP: self._kept,
        }

    def _set(self, dataset: Dataset, element: DataElement, action: Action) -> None:
        """Puts what the rule makes of each value; values of which nothing is left are removed."""
        if element.VM == 0:
            return
        rule = self._rules()[action]
        if element.VM == 1 or isinstance(element.value, str | bytes):
            kept = rule(element, element.value)
        else:
            kept = [value for one in element.value if (value := rule(element, one)) != ""]
        if isinstance(kept, str | list) and not kept:
            empty = None if element.keyword in ("BodyPartExamined", "ROIName") else "REMOVED"
            if element.VR in ("CS", "LO", "SH") and action is not Action.KEEP and empty:
                kept = empty
            else:
                kept = None
        if kept is None and action is Action.KEEP:
            del dataset[element.tag]
        else:
            dataset.add_new(element.tag, element.VR, kept)

    def _kept(self, element: DataElement, value: Any) -> Any:
        """A value that stays if it reads as what its kind should be, and names nobody."""
        kind, text = element.VR, str(value)
        if kind == "CS":
            return text if words.is_code_string(text) and words.may_stay(text, self.names) else ""
        if kind in ("DS", "IS"):
            float(text)
            return value
        if element.keyword == "PatientAge":
            return _age(text)
        if kind in ("LO", "SH", "UC", "AE"):
            return text if words.may_stay(text, self.names) else ""
        return value

    def _uid(self, uid: str) -> str:
        if not uid.strip(" \0"):
            return ""
        return uid if _is_standard(uid) else self.key.uid(uid)

    def _shifted(self, text: str) -> str:
        """A date, or the date in front of a time, moved; empty where there is no whole date."""
        found = re.match(r"(\d{4})\.?(\d{2})\.?(\d{2})", text.strip())
        if found is None:
            return ""
        day = date(*map(int, found.groups())) + timedelta(self.key.shift_days(self.patient))
        return f"{day:%Y%m%d}{re.sub(r'[^0-9.+-]', '', text.strip()[found.end() :])}"

    def _code(self, item: Dataset) -> None:
        """A coded entry keeps its code where the whole world knows it, with the world's meaning."""
        scheme = str(item.get("CodingSchemeDesignator", ""))
        value = str(item.get("CodeValue", "")).strip()
        public = words.known_scheme(scheme) and words.is_code(value)
        for name in ("LongCodeValue", "URNCodeValue"):
            if name in item:
                delattr(item, name)
        if public and words.may_stay(value, self.names):
            item.CodeMeaning = words.meaning_of(scheme, value)[:64]
        else:
            item.CodeValue = self.key.token("code", f"{scheme}\0{value}")[:12].upper()
            item.CodingSchemeDesignator = "99FEDVOX"
            item.CodeMeaning = "REMOVED"
        self.counts[Action.CLEAN] += 1


def _is_standard(uid: str) -> bool:
    """Whether the UID is one that the standard itself names."""
    from pydicom.uid import UID

    plain = uid.strip(" \0")
    return plain.startswith(_STANDARD_UIDS) and UID(plain).name != plain


def _age(text: str) -> str:
    found = re.fullmatch(r"(\d{3})([DWMY])", text.strip())
    if found is None:
        return ""
    return "090Y" if found.group(2) == "Y" and int(found.group(1)) > 89 else found.group(0)
