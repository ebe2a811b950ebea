"""Look at the data of a config; the same as ``maskssl check-data``."""

import sys

from maskssl.__main__ import main

if __name__ == "__main__":
    main(["check-data", *sys.argv[1:]])
