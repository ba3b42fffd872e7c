"""What a site does not allow is refused before it is charged, and recorded."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from ledgers import CAPS, WIDE, opened, reserved, rows, sha, work

from fedvox.client.ledger.work import Caps, Work
from fedvox.common.errors import InputError, Refusal, SiteError
from fedvox.common.privacy.account import Account
from fedvox.common.privacy.charge import Charge


def refused(ledger_home: Path, asked: Work, caps: Caps = CAPS) -> SiteError:
    with opened(ledger_home, caps) as ledger, pytest.raises(SiteError) as caught:
        ledger.reserve(asked)
    last = rows(ledger_home)[-1]
    assert (last["kind"], last["reservation"]) == ("refused", 0)
    assert last["decision"] == caught.value.refusal and last["reason"] == caught.value.detail
    assert last["life_before"] == last["life_after"]
    return caught.value


def test_the_studys_cap_holds_and_the_site_is_told_what_is_left(tmp_path: Path) -> None:
    account = Account()
    with opened(tmp_path, WIDE) as ledger:
        for number in range(3):
            ledger.release(reserved(ledger, work(number)), sha(number))
            account.add(Charge(0.1, 1.0, 30))
    spent = account.epsilon(1e-3)
    caps = Caps(study_epsilon=spent + 0.1, life_epsilon=100.0, delta=1e-3)
    error = refused(tmp_path, work(3), caps)
    assert error.refusal is Refusal.BUDGET
    assert str(error) == "the site's privacy budget for this data is spent"  # and no figure
    assert f"epsilon {spent:.4g} of {caps.study_epsilon:g} spent, 0.1 left" in error.detail
    with opened(tmp_path, caps) as ledger:
        reserved(ledger, work(3, noise=20.0, steps=1))  # what fits is still done
        reserved(ledger, work(3, "lung"))  # and other studies are


def test_the_lifes_cap_holds_over_studies(tmp_path: Path) -> None:
    one = Account([Charge(0.1, 1.0, 30)]).epsilon(1e-3)
    caps = Caps(study_epsilon=100.0, life_epsilon=one * 1.01, delta=1e-3)
    with opened(tmp_path, caps) as ledger:
        reserved(ledger, work(1, "brain"))
    error = refused(tmp_path, work(1, "lung"), caps)
    assert error.refusal is Refusal.BUDGET and error.detail.startswith("the data's whole life")
    assert "'lung'" not in error.detail  # its own cap is far away


def test_spending_a_cap_to_the_last_digit_is_allowed(tmp_path: Path) -> None:
    whole = Account([Charge(0.1, 1.0, 60)]).epsilon(1e-3)
    caps = Caps(study_epsilon=whole, life_epsilon=whole, delta=1e-3)
    with opened(tmp_path, caps) as ledger:
        reserved(ledger, work(1))
        assert reserved(ledger, work(2)).study_epsilon == whole
    assert refused(tmp_path, work(3, noise=50.0, steps=1), caps).refusal is Refusal.BUDGET


def test_too_little_noise_or_too_large_a_delta_is_refused_before_anything_else(
    tmp_path: Path,
) -> None:
    with opened(tmp_path, WIDE) as ledger:
        ledger.release(reserved(ledger, work(noise=0.4)), sha("sent"))
    error = refused(tmp_path, work(noise=0.4))  # also what was done before the floor was raised
    assert error.refusal is Refusal.PRIVACY
    assert "0.4" in error.detail and "0.5" in error.detail
    assert refused(tmp_path, work(noise=0.0), WIDE).refusal is Refusal.PRIVACY
    assert refused(tmp_path, work(delta=2e-3)).refusal is Refusal.PRIVACY


def test_work_whose_epsilon_has_no_bound_is_refused_whatever_the_caps(tmp_path: Path) -> None:
    caps = Caps(study_epsilon=math.inf, life_epsilon=math.inf, delta=1e-3)
    assert refused(tmp_path, work(noise=1e-3), caps).refusal is Refusal.BUDGET
    with opened(tmp_path, caps) as ledger:
        reserved(ledger, work())
    assert rows(tmp_path)[-1]["study_cap"] is None


@pytest.mark.parametrize(
    "change",
    [{"noise": math.nan}, {"noise": math.inf}, {"noise": -1.0}, {"steps": 0}, {"rate": 0.0},
     {"rate": 1.1}, {"rate": math.nan}, {"delta": 0.0}, {"delta": 1.0}, {"delta": math.nan},
     {"delta": 1e-300}, {"round_number": -1}],
)  # fmt: skip
def test_work_that_makes_no_sense_is_no_work(change: dict[str, float]) -> None:
    with pytest.raises(SiteError) as caught:
        work(**change)  # type: ignore[arg-type]
    assert caught.value.refusal is Refusal.STUDY


def test_hashes_and_norms_that_make_no_sense_are_no_work() -> None:
    asked = work()
    for bad in ("", "AB" * 32, sha("x")[:-1]):
        with pytest.raises(SiteError):
            replace(asked, id=replace(asked.id, weights_sha256=bad))
    for norm in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(SiteError):
            replace(asked, clip_norm=norm)


@pytest.mark.parametrize("epsilon", [0.0, -1.0, math.nan])
def test_a_policy_that_allows_nothing_or_nonsense_is_bad_input(epsilon: float) -> None:
    for caps in ({"study_epsilon": epsilon}, {"life_epsilon": epsilon}, {"least_noise": -1.0}):
        with pytest.raises(InputError):
            replace(CAPS, **caps)
    for delta in (0.0, 1.0, math.nan):
        with pytest.raises(InputError):
            replace(CAPS, delta=delta)
