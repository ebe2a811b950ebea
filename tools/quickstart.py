"""From images to a table of transfer results; the same as ``maskssl quickstart``."""

import sys

from maskssl.__main__ import main

if __name__ == "__main__":
    main(["quickstart", *sys.argv[1:]])
