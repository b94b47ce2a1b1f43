"""All pictures that need trained networks: python -m docs.make.images [SOURCE]

SOURCE is a trunk of `segattn zoo` (streets-local unless given) or the folder of a study on generated scenes. Writes into
docs/images/: predictions.png of README.md, attention_maps.png of docs/attention_maps.md and explorer.png of docs/explorer.md. The
last one needs the extras `demo` and `dev`, and Chromium; where they are missing it is left as it is, and this is said.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

from docs.make import attention, predictions
from docs.make.shown import IMAGES, shown
from segattn import zoo


def main(source: str = zoo.LOCAL, folder: Path = IMAGES) -> None:
    """Write every picture into `folder`.

    Raises:
        ValueError: as `shown`.
    """
    what = shown(source)
    print(f"{source}: pixel {what.pixel.pixel} of {what.pixel.image}, {what.pixel.class_name}. {what.pixel.reason}")
    predictions.draw(what, folder / predictions.NAME)
    attention.draw(what, folder / attention.NAME)
    missing = [name for name in ("gradio", "playwright") if importlib.util.find_spec(name) is None]
    missing += [] if shutil.which("chromium") or shutil.which("google-chrome") else ["Chromium"]
    if missing:
        print(f"explorer.png is left as it is: {', '.join(missing)} not installed")
    else:
        from docs.make import explorer

        explorer.main(source, what, folder)
    print(f"wrote {folder}")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:2])
    except ValueError as error:
        sys.exit(str(error))
