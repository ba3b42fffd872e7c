"""The process that decodes compressed frames, and nothing else.

Decoders are native code fed with bytes from anywhere: a damaged file may crash one, make it hang,
or ask for all the memory there is. Here that costs this process, and the scan is set aside.

Standard input brings one JSON object a line, standard output answers with one line for each frame,
followed by its bytes. It ends when standard input does.
"""

from __future__ import annotations

import io
import json
import os
import resource
import sys
import warnings
from typing import Any

MEMORY_BYTES = 8 << 30
PLUGINS = ("pyjpegls", "pylibjpeg", "pydicom", "gdcm")
"""The most robust first: GDCM is known to abort the process on some input."""
_EXTENDED = "1.2.840.10008.1.2.4.51"
"""JPEG of up to 12 bits."""


def main() -> None:
    """Answers requests until there are no more."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # decoders print
    os.dup2(sys.stdout.fileno(), sys.stderr.fileno())
    _limit_memory()
    warnings.simplefilter("ignore")
    for line in sys.stdin.buffer:
        try:
            _answer(json.loads(line), answers)
        except Exception as error:  # decoders raise anything; the parent is told and goes on
            _say(answers, {"error": type(error).__name__, "text": str(error)[:300]})


def _limit_memory() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    bounds = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([MEMORY_BYTES, *bounds]), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer(request: dict[str, Any], answers: io.BufferedWriter) -> None:
    from pydicom.pixels.decoders.base import get_decoder

    with open(request["path"], "rb") as file:  # noqa: PTH123  # starts without pathlib
        file.seek(request["offset"])
        packed = file.read()
    decoder = get_decoder(request["syntax"])
    plugins = [name for name in PLUGINS if name in decoder.available_plugins]
    for index in request["indices"]:
        array = _decoded(decoder, plugins, packed, index, request["options"])
        _say(answers, {"dtype": array.dtype.str, "shape": array.shape})
        answers.write(array.tobytes())
        answers.flush()


def _decoded(
    decoder: Any, plugins: list[str], packed: bytes, index: int, options: dict[str, Any]
) -> Any:
    """One frame, by the first plugin that can."""
    if decoder.UID == _EXTENDED and options["bits_stored"] > 8:
        return _twelve_bits(packed, index, options)
    failed: Exception = LookupError("no plugin decodes this transfer syntax")
    for plugin in plugins:
        try:
            return decoder.as_array(packed, index=index, decoding_plugin=plugin, **options)[0]
        except Exception as error:  # decoders raise anything; the next may do better
            failed = error
    raise failed


def _twelve_bits(packed: bytes, index: int, options: dict[str, Any]) -> Any:
    """A frame of more than 8 bits, which pydicom does not ask GDCM for, though it decodes them."""
    from importlib import import_module

    import numpy as np
    from pydicom.encaps import get_frame

    gdcm = import_module("gdcm")
    fragment = gdcm.Fragment()
    frames = options["number_of_frames"]
    fragment.SetByteStringValue(get_frame(packed, index, number_of_frames=frames))
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    rows, columns = options["rows"], options["columns"]
    allocated, stored = options["bits_allocated"], options["bits_stored"]
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((columns, rows, 1))
    image.SetDataElement(element)
    colour = gdcm.PhotometricInterpretation.GetPIType(options["photometric_interpretation"])
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(colour))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(_EXTENDED)))
    image.SetPixelFormat(gdcm.PixelFormat(1, allocated, stored, stored - 1, 0))
    pixels = np.frombuffer(image.GetBuffer().encode("utf-8", "surrogateescape"), np.uint16)
    if options["pixel_representation"]:  # the sign is extended from the bits that are stored
        pixels = (pixels << 16 - stored).view(np.int16) >> 16 - stored
    return pixels.reshape(rows, columns)


def _say(answers: io.BufferedWriter, value: dict[str, Any]) -> None:
    answers.write(json.dumps(value).encode() + b"\n")
    answers.flush()


if __name__ == "__main__":
    main()
