"""A policy counts only as the site signed it; anything else, and nothing runs."""

from pathlib import Path

import pytest
from trainers import give_identity

from fedvox.client.policy.load import PolicyError
from fedvox.client.policy.rules import Policy
from fedvox.client.policy.signature import policy_file, policy_of, sign_policy, signature_file
from fedvox.common.errors import IdentityError

TEXT = "[training]\nmost_rounds = 7\n"


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    give_identity(tmp_path)
    policy_file(tmp_path).write_text(TEXT)
    sign_policy(tmp_path)
    return tmp_path


def test_without_a_policy_the_defaults_hold(tmp_path: Path) -> None:
    assert policy_of(tmp_path) == Policy()


def test_a_signed_policy_holds(signed: Path) -> None:
    assert policy_of(signed).training.most_rounds == 7


def test_any_changed_byte_of_either_file_ends_it(signed: Path) -> None:
    good = policy_file(signed).read_bytes()
    for at in range(len(good)):
        changed = bytearray(good)
        changed[at] ^= 1
        policy_file(signed).write_bytes(changed)
        with pytest.raises(PolicyError):
            policy_of(signed)
    policy_file(signed).write_bytes(good)
    signature = signature_file(signed).read_text()
    for other in (signature[4:], "", "%%%", "AAAA" + signature[4:]):
        signature_file(signed).write_text(other)
        with pytest.raises(PolicyError):
            policy_of(signed)
    signature_file(signed).write_text(signature)
    assert policy_of(signed).training.most_rounds == 7


def test_what_is_missing_is_not_taken_for_the_defaults(signed: Path) -> None:
    policy_file(signed).rename(signed / "away")
    with pytest.raises(PolicyError, match="is gone"):
        policy_of(signed)
    (signed / "away").rename(policy_file(signed))
    signature_file(signed).unlink()
    with pytest.raises(PolicyError, match="policy sign"):
        policy_of(signed)


def test_another_sites_signature_is_none(signed: Path) -> None:
    give_identity(signed)  # another key
    with pytest.raises(PolicyError, match="another key"):
        policy_of(signed)


def test_nothing_is_signed_without_an_identity_or_that_cannot_be_read(tmp_path: Path) -> None:
    policy_file(tmp_path).write_text(TEXT)
    with pytest.raises(IdentityError):
        sign_policy(tmp_path)
    give_identity(tmp_path)
    policy_file(tmp_path).write_text("[training]\nmost_round = 7\n")
    with pytest.raises(PolicyError, match="most_rounds"):
        sign_policy(tmp_path)
    assert not signature_file(tmp_path).exists()
