"""Libraries say nothing while they handle patients' data, and speak again afterwards."""

import logging
import threading
import warnings

import pytest
from pynetdicom import _config

from fedvox.client.pacs.silence import silence


def test_they_are_silent_and_speak_again(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise ValueError("DOE^JOHN")

    before = _config.LOG_HANDLER_LEVEL, _config.LOG_RESPONSE_IDENTIFIERS, threading.excepthook
    with silence():
        assert (_config.LOG_HANDLER_LEVEL, _config.LOG_RESPONSE_IDENTIFIERS) == ("none", False)
        logging.getLogger("pynetdicom.dul").error("DOE^JOHN")
        logging.getLogger("httpx").warning("DOE^JOHN")
        warnings.warn("DOE^JOHN", stacklevel=1)
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
    said = capsys.readouterr()
    assert "DOE" not in said.out + said.err + caplog.text
    assert "ValueError" in said.err
    assert before == (
        _config.LOG_HANDLER_LEVEL, _config.LOG_RESPONSE_IDENTIFIERS, threading.excepthook
    )  # fmt: skip
    logging.getLogger("pynetdicom.dul").error("heard")
    assert "heard" in caplog.text
