import pytest

from fedvox.common.errors import StudyError
from fedvox.common.study import load_study

SUMMED = (
    "privacy.mode=patient",
    "privacy.placement=distributed",
    "training.local_steps=1",
    "training.optimizer=sgd",
    "strategy.weighting=uniform",
    "privacy.delta=1e-3",
)


def test_a_sum_of_single_plain_steps_may_share_the_noise() -> None:
    assert load_study(settings=SUMMED).privacy.placement == "distributed"


@pytest.mark.parametrize(
    "setting",
    [
        "training.local_steps=2",
        "training.optimizer=adamw",
        "strategy.name=ditto",
        "strategy.name=flower:FedMedian",
        "strategy.weighting=examples",
        "privacy.adaptive_clip=true",
        "privacy.honest_sites=9",
        "privacy.delta=0.0",
    ],
)
def test_what_would_make_shares_of_noise_worth_less_is_refused(setting: str) -> None:
    with pytest.raises(StudyError, match=setting.partition("=")[0]):
        load_study(settings=[*SUMMED, setting])


def test_a_promise_without_noise_is_refused() -> None:
    with pytest.raises(StudyError, match=r"privacy\.epsilon"):
        load_study(settings=["privacy.mode=patient", "privacy.epsilon=0"])
    load_study(settings=["privacy.mode=patient", "privacy.epsilon=0", "privacy.noise_multiplier=1"])
    load_study(settings=["privacy.epsilon=0"])


def test_noise_that_is_given_is_the_same_at_every_site() -> None:
    load_study(settings=[*SUMMED, "privacy.delta=0.0", "privacy.noise_multiplier=1.5"])
