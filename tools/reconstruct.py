"""The same as ``maskssl visualize reconstruction``, by CONFIG CHECKPOINT IMAGES… [options]."""

import sys

from maskssl.__main__ import main

if __name__ == "__main__":
    given = sys.argv[1:]
    if given and not given[0].startswith("-"):
        given = [*given[1:], "--config", given[0]]
    main(["visualize", "reconstruction", "--out", "reconstructions.png", *given])
