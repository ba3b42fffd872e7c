import argparse
from pathlib import Path

import pytest

from fedvox.common.errors import InputError
from fedvox.common.home import add_home, home_of


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_home(parser)
    return parser.parse_args(words)


def test_what_is_named_goes_before_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDVOX_HOME", "/from/variable")
    assert home_of(parsed("--home", "/named")) == Path("/named")
    assert home_of(parsed()) == Path("/from/variable")


def test_it_is_absolute_whatever_the_working_folder_becomes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert home_of(parsed("--home", "here")) == tmp_path / "here"
    assert home_of(parsed("--home", "~/x")) == Path.home() / "x"


@pytest.mark.parametrize("variable", [None, ""])
def test_without_either_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    monkeypatch.delenv("FEDVOX_HOME", raising=False)
    if variable is not None:
        monkeypatch.setenv("FEDVOX_HOME", variable)
    with pytest.raises(InputError, match=r"--home DIR.*FEDVOX_HOME"):
        home_of(parsed())
