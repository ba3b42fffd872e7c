"""What this site allows: show it, try a study against it, sign it.

fedvox site policy init             write policy.toml with every rule and its default, or --set
fedvox site policy show             the rules, and whether the signature holds
fedvox site policy test STUDY.toml  each rule, its verdict and the reason; nothing is run
fedvox site policy sign             sign policy.toml with the site's key; unsigned, nothing runs

Without policy.toml the defaults hold: every study waits for `fedvox site approve`, figures leave
only where no privacy was promised, a study may spend epsilon 8 and all together 16.
Exit status of test: 0 where the study may run, 1 where a rule forbids it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fedvox.common.home import add_home


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what the command takes."""
    commands = parser.add_subparsers(dest="what", required=True, metavar="init|show|test|sign")
    for name, text in (
        ("init", "write policy.toml with every rule and its default"),
        ("show", "print the rules, and whether the signature holds"),
        ("test", "try a study against the rules, without running it"),
        ("sign", "sign policy.toml with the site's key"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        add_home(command)
        command.add_argument("--json", action="store_true", help="print one JSON object")
        if name == "init":
            command.add_argument(
                "--set", action="append", default=[], metavar="TABLE.KEY=VALUE",
                help="a rule that is not to be the default, as in training.most_rounds=50",
            )  # fmt: skip
        if name == "test":
            command.add_argument("study", type=Path, metavar="STUDY.toml")
            command.add_argument(
                "--patients",
                type=int,
                default=None,
                metavar="N",
                help="training patients to judge by (default: those rules are left out)",
            )


def run(args: argparse.Namespace) -> int:
    """Does what `fedvox site policy` was asked for."""
    return {"init": _init, "show": _show, "test": _test, "sign": _sign}[args.what](args)


def _init(args: argparse.Namespace) -> int:
    import json

    from fedvox.client.policy.load import template
    from fedvox.client.policy.signature import policy_file
    from fedvox.common.errors import InputError
    from fedvox.common.files import write_text_atomic
    from fedvox.common.home import home_of

    path = policy_file(home_of(args))
    if path.exists():
        raise InputError(f"{path}: is there already; edit it, then `fedvox site policy sign`")
    write_text_atomic(path, template(args.set))
    said = f"{path}: written; nothing runs until it is signed: `fedvox site policy sign`"
    print(json.dumps({"policy": str(path), "signed": False}) if args.json else said)
    return 0


def _show(args: argparse.Namespace) -> int:
    import json

    from fedvox.client.policy.load import PolicyError, parse_policy
    from fedvox.client.policy.rules import Policy
    from fedvox.client.policy.show import policy_lines
    from fedvox.client.policy.signature import policy_file, policy_of
    from fedvox.common.home import home_of

    home = home_of(args)
    path, problem, policy = policy_file(home), "", Policy()
    try:
        policy = policy_of(home)
    except PolicyError as error:
        problem = str(error)
        if path.exists():
            policy = parse_policy(path.read_text(errors="replace"), str(path))
    if args.json:
        rules = policy.model_dump(mode="json")
        print(json.dumps({"valid": not problem, "problem": problem, "rules": rules}))
    else:
        for line in policy_lines(policy, path.exists(), problem):
            print(line)
    return 1 if problem else 0


def _test(args: argparse.Namespace) -> int:
    import json
    from dataclasses import asdict
    from datetime import datetime

    from fedvox.client.policy.check import admits, broken, check, not_judged
    from fedvox.client.policy.parameters import count_parameters
    from fedvox.client.policy.show import verdict_lines
    from fedvox.client.policy.signature import policy_of
    from fedvox.common.home import home_of
    from fedvox.common.study import load_study, study_hash

    policy, study = policy_of(home_of(args)), load_study(args.study)
    count = count_parameters(study) if study.task.classes else None
    verdicts = check(study, policy, args.patients, datetime.now().astimezone(), count)
    admitted = admits(study, policy)
    open_rules = not_judged(study, args.patients, count)
    if args.json:
        told = {
            "study": study.study.name,
            "study_sha256": study_hash(study),
            "allowed": broken(verdicts) is None,
            "admitted": admitted,
            "verdicts": [asdict(verdict) for verdict in verdicts],
            "not_judged": list(open_rules),
        }
        print(json.dumps(told))
    else:
        for line in verdict_lines(study, verdicts, admitted, open_rules):
            print(line)
    return 1 if broken(verdicts) else 0


def _sign(args: argparse.Namespace) -> int:
    import json

    from fedvox.client.policy.recording import site_recorder
    from fedvox.client.policy.signature import policy_digest, sign_policy, signature_file
    from fedvox.common.home import home_of

    home = home_of(args)
    sign_policy(home)
    digest = policy_digest(home)
    site_recorder(home)("policy-signed", {"policy_sha256": digest})
    said = f"{signature_file(home)}: signed; it holds from the next request on"
    print(json.dumps({"signed": True, "policy_sha256": digest}) if args.json else said)
    return 0
