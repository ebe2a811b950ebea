"""What pretrained encoders are worth on your images; the same as ``maskssl transfer``."""

import sys

from maskssl.__main__ import main

if __name__ == "__main__":
    main(["transfer", *sys.argv[1:]])
