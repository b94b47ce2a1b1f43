"""Here scenes are painted whenever they are asked for."""

from collections.abc import Callable

import pytest

from segattn.data.streets import Generator


@pytest.fixture(scope="package", autouse=True)
def _paint(painted_once: Callable) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Generator, "__call__", painted_once)
        yield
