"""Draw runs and what encoders make of pictures; the same as ``maskssl visualize``."""

import sys

from maskssl.__main__ import main

if __name__ == "__main__":
    main(["visualize", *sys.argv[1:]])
