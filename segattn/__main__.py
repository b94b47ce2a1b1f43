"""`python -m segattn`, the same as `segattn`."""

import sys

from segattn.cli import main

if __name__ == "__main__":
    sys.exit(main())
