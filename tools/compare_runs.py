"""Compare the logs of runs; the same as ``maskssl compare``."""

import sys

from maskssl.__main__ import main

if __name__ == "__main__":
    main(["compare", *sys.argv[1:]])
