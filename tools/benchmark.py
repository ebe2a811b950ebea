"""Time training steps on this machine; the same as ``maskssl benchmark``."""

import sys

from maskssl.__main__ import main

if __name__ == "__main__":
    main(["benchmark", *sys.argv[1:]])
