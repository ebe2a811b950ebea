"""Say what a checkpoint holds; the same as ``maskssl convert-checkpoint``."""

import sys

from maskssl.__main__ import main

if __name__ == "__main__":
    main(["convert-checkpoint", *sys.argv[1:]])
