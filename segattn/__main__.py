"""`python -m segattn`, the same as `segattn`."""

import os
import sys

import segattn
from segattn.cli import main

if __name__ == "__main__":
    # `python -m` looks into the working directory first, where a run's folder may hold a torch.py
    if (
        not sys.flags.safe_path
        and sys.path[:1] == [os.getcwd()]
        and not segattn.__file__.startswith(sys.path[0] + os.sep)
    ):
        del sys.path[0]
    sys.exit(main())
