"""The study file: one description that a simulation and a consortium both run."""

from fedvox.common.study.contract import (
    contract_hash,
    study_hash,
    without_paths,
    without_schedule,
)
from fedvox.common.study.load import dump_study, load_study, parse_study
from fedvox.common.study.schema import Study

__all__ = [
    "Study",
    "contract_hash",
    "dump_study",
    "load_study",
    "parse_study",
    "study_hash",
    "without_paths",
    "without_schedule",
]
