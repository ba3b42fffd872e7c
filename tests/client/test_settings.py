import stat
from pathlib import Path

import pytest

from fedvox.client.settings import SiteSettings
from fedvox.common.errors import InputError

SETTINGS = SiteSettings(
    "st-anna",
    "trial",
    ("a.example:1", "[::1]:2"),
    "http://u:p@proxy:3128",
    "/x/ca.pem",
    "dataset:x",
)


def test_they_are_read_as_they_were_written(tmp_path: Path) -> None:
    SETTINGS.save(tmp_path)
    assert SiteSettings.load(tmp_path) == SETTINGS
    assert stat.S_IMODE((tmp_path / "site.toml").stat().st_mode) == 0o600


def test_what_may_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text('site = "a"\nconsortium = "c"\naddresses = ["h:1"]\n')
    assert SiteSettings.load(tmp_path) == SiteSettings("a", "c", ("h:1",), "", "", "")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('site = "a"\nconsortium = "c"', "addresses is missing"),
        ('consortium = "c"\naddresses = ["h:1"]', "site is missing"),
        ('sit = "a"', "did you mean 'site'"),
        ("site = ", "not valid TOML"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "site.toml").write_text(text)
    with pytest.raises(InputError, match=told):
        SiteSettings.load(tmp_path)


def test_a_site_that_has_not_joined(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="fedvox site join KIT"):
        SiteSettings.load(tmp_path)
