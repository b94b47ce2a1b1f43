"""Amounts with units, as they are typed: memory, and budgets of time, arithmetic or parameters."""

from __future__ import annotations

import re

_PREFIX = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
_NUMBER = r"\s*(\d{1,15}(?:\.\d{1,15})?)\s*"


def memory_bytes(text: str) -> int:
    """`24GB` (24 * 10^9 bytes), `24GiB` (24 * 2^30 bytes), also with M.

    >>> memory_bytes("24GB"), memory_bytes("24 GiB")
    (24000000000, 25769803776)

    Raises:
        ValueError: another form; which units there are.
    """
    match = re.fullmatch(_NUMBER + r"([MGT])(i?)B", text.strip(), flags=re.IGNORECASE)
    if match is None or float(match[1]) <= 0:
        raise ValueError(
            f"memory {text!r} should be a number above 0 with its unit, such as 24GB (24 * 10^9 bytes) or 24GiB "
            "(24 * 2^30 bytes, 7 % more; what cards that are sold as 24 GB have)"
        )
    factor = 1024 ** {"m": 2, "g": 3, "t": 4}[match[2].lower()] if match[3] else _PREFIX[match[2].lower()]
    return int(float(match[1]) * factor)


def budget(text: str) -> tuple[str, float]:
    """`600GFLOPs`, `300GMACs`, `50Mparameters`, `24GB`, `50ms`: what is limited ("flops", "macs", "parameters", "memory" or
    "time"), and how much; time in seconds.

    >>> budget("1.5TFLOPs"), budget("50M parameters"), budget("250 ms")
    (('flops', 1500000000000.0), ('parameters', 50000000.0), ('time', 0.25))

    Raises:
        ValueError: another form; which there are.
    """
    match = re.fullmatch(_NUMBER + r"([kMGT]?)\s*(flops?|macs?|param(?:eter)?s)", text.strip(), flags=re.IGNORECASE)
    if match is not None and float(match[1]) > 0:
        unit = match[3].lower()
        what = "parameters" if unit.startswith("param") else "flops" if unit.startswith("flop") else "macs"
        return what, float(match[1]) * _PREFIX[match[2].lower()]
    if re.fullmatch(_NUMBER + r"[MGT]i?B", text.strip(), flags=re.IGNORECASE):
        return "memory", float(memory_bytes(text))
    match = re.fullmatch(_NUMBER + r"(us|ms|s)", text.strip(), flags=re.IGNORECASE)
    if match is not None and float(match[1]) > 0:
        return "time", float(match[1]) / {"us": 10**6, "ms": 10**3, "s": 1}[match[2].lower()]
    raise ValueError(
        f"budget {text!r} should be a number above 0 with its unit: 600GFLOPs, 300GMACs, 50Mparameters, memory, 24GB "
        "or 24GiB, or time, 50ms"
    )
