"""Index a list of images ahead of a run; the same as ``maskssl index``."""

import sys

from maskssl.__main__ import main

if __name__ == "__main__":
    main(["index", *sys.argv[1:]])
