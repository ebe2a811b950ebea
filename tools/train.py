"""Train any stage by its config; the same as ``maskssl train``."""

import sys

from maskssl.__main__ import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
