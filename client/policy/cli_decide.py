"""Decide about a study that wants this site's patients.

approve  it may run, as far as the policy allows; another text of it waits anew
reject   it may not
pause    nothing new is begun for it until `resume`; what is being done is finished
resume   it goes on
stop     what is being done for it ends at once, and nothing of that leaves

STUDY is its name, or the beginning of its hash: see `fedvox site studies`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fedvox.common.home import add_home


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what the command takes."""
    parser.add_argument("study", metavar="STUDY", help="name, or the beginning of the hash")
    parser.add_argument("--by", default="", metavar="NAME", help="who decides (default: the user)")
    add_home(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Writes the decision down; for `stop`, waits until it is seen."""
    import json

    from fedvox.client.policy.approvals import BY_POLICY, Approvals, Decision
    from fedvox.client.policy.recording import site_recorder
    from fedvox.common.errors import InputError
    from fedvox.common.home import home_of

    home, by = home_of(args), args.by or _user()
    if by == BY_POLICY:
        raise InputError(f"--by {by}: is what decides by itself; name a person")
    approvals = Approvals(home, site_recorder(home))
    record = approvals.decide(args.study, Decision(args.action), by)
    ended = args.action != "stop" or _ended(home, record.study_sha256)
    if args.json:
        told = {"study": record.name, "study_sha256": record.study_sha256}
        print(json.dumps({**told, "state": record.state, "by": record.by, "ended": ended}))
    else:
        print(f"{record.name} ({record.study_sha256[:12]}): {record.state}, by {record.by}")
        if not ended:
            print("its work has not ended yet; see `fedvox site now`")
    return 0


def _user() -> str:
    import os
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid-{os.getuid()}"


def _ended(home: Path, study_sha256: str, patience_s: float = 10.0) -> bool:
    """Whether the trainer has let go of the study; it looks between two cases."""
    import time

    from fedvox.client.policy.progress import now_of

    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        now = now_of(home)
        if now is None or not now.is_running or now.study_sha256 != study_sha256:
            return True
        time.sleep(0.1)
    return False
