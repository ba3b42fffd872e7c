"""`fedvox site data`: what the site's datasets hold, and what was set aside.

fedvox site data list               every case of the newest version
fedvox site data show CASE --png F  one case, and a picture of it with its label
fedvox site data quarantine         why scans were set aside; --detail names the files
fedvox site data stats              counts and spreads; --verify reads every voxel back

With more than one dataset, --dataset says which one.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from fedvox.common.home import add_home

_LOOKS = ("list", "show", "quarantine", "stats")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what the command takes."""
    add = parser.add_argument
    add("look", choices=_LOOKS, metavar="|".join(_LOOKS), help="what to look at")
    add("case", nargs="?", default="", metavar="CASE", help="of show: how the case's key begins")
    add("--dataset", default="", metavar="NAME", help="which dataset")
    add("--png", type=Path, default=None, metavar="FILE", help="of show: draw slices and label")
    add(
        "--detail",
        action="store_true",
        help="of quarantine: also files and details, which name patients: for this screen only",
    )
    add("--verify", action="store_true", help="of stats: check every case against its hash")
    add_home(parser)
    add("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Shows what was asked for; exit status 1 where --verify finds damage."""
    import json

    from fedvox.client.dataset.places import existing
    from fedvox.common.errors import InputError
    from fedvox.common.home import home_of

    home = home_of(args)
    place = existing(home, args.dataset or _only(home))
    if args.case and args.look != "show":
        raise InputError(f"site data {args.look} takes no case; site data show CASE does")
    looks = {"list": _list, "show": _show, "quarantine": _quarantine, "stats": _stats}
    plain, lines = looks[args.look](args, home, place.name)
    if args.json:
        print(json.dumps(plain, sort_keys=True))
    else:
        print("\n".join(lines))
    return 1 if plain.get("damaged") else 0


def _only(home: Path) -> str:
    from fedvox.client.dataset.places import datasets
    from fedvox.common.errors import DataError

    names = [place.name for place in datasets(home)]
    if not names:
        raise DataError(f"{home}: no dataset here; make one with fedvox site ingest")
    if len(names) > 1:
        raise DataError(f"which dataset? Give --dataset: {', '.join(names)}")
    return names[0]


Answer = tuple[dict[str, Any], list[str]]
"""For scripts, and for people."""


def _list(args: argparse.Namespace, home: Path, name: str) -> Answer:
    from fedvox.client.dataset.dataset import Dataset
    from fedvox.client.dataset.stats import line_of

    dataset = Dataset.open(home, name)
    cases = sorted(dataset.cases(), key=lambda case: (case.patient, case.key))
    plain = {
        "dataset": name,
        "version": dataset.version.name,
        "fingerprint": dataset.version.fingerprint,
        "cases": [case.as_plain() for case in cases],
    }
    people = len(dataset.patients())
    title = f"{name}, version {dataset.version.name}: {len(cases)} cases of {people} patients"
    return plain, [title, *map(line_of, cases)]


def _show(args: argparse.Namespace, home: Path, name: str) -> Answer:
    from fedvox.client.dataset.dataset import Dataset
    from fedvox.client.dataset.sheet import write_sheet
    from fedvox.common.errors import DataError
    from fedvox.common.volume import CaseError

    dataset = Dataset.open(home, name)
    case = dataset.case(args.case)
    plain = case.as_plain()
    if args.png is not None:
        try:
            write_sheet(dataset.content(case), args.png)
        except CaseError as error:
            raise DataError(f"{error.detail}; ingest it again") from None
        plain["png"] = str(args.png)
    return plain, [f"{key}: {value}" for key, value in plain.items()]


def _quarantine(args: argparse.Namespace, home: Path, name: str) -> Answer:
    import json
    from collections import Counter

    from fedvox.client.dataset.manifest import Manifest
    from fedvox.client.dataset.places import existing
    from fedvox.client.deid.sitekey import SiteKey
    from fedvox.client.ingest.reasons import Reason

    with Manifest(existing(home, name).manifest) as manifest:
        aside = manifest.aside()
    counts = dict(sorted(Counter(one.reason for one in aside).items()))
    plain: dict[str, Any] = {"dataset": name, "quarantined": counts}
    lines = [f"{name}: {len(aside)} set aside"]
    for code, count in counts.items():
        reason = Reason(code)
        lines.append(f"  {code}: {count}: {reason.sentence}; {reason.remedy}")
    if args.detail:
        key = SiteKey.of(home)
        plain["items"] = [
            {"reason": one.reason, "patient": one.pseudonym, "time": one.time}
            | (json.loads(key.unseal(one.sealed)) if one.sealed else {})
            for one in aside
        ]
        for item in plain["items"]:
            lines.append(f"{item['reason']}: {_shown(item.get('detail', ''))}")
            lines += [f"    {_shown(path)}" for path in item.get("files", [])]
    return plain, lines


def _shown(text: str) -> str:
    """A name may hold anything, also what would steer a terminal."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def _stats(args: argparse.Namespace, home: Path, name: str) -> Answer:
    from fedvox.client.dataset.dataset import Dataset
    from fedvox.client.dataset.stats import stats

    dataset = Dataset.open(home, name)
    plain = stats(dataset)
    if args.verify:
        plain["damaged"] = dataset.damaged()
    return plain, [f"{key}: {value}" for key, value in plain.items()]
