"""Draw what a pretrained model makes of images; the same as ``maskssl reconstruct``."""

import sys

from maskssl.__main__ import main

if __name__ == "__main__":
    main(["reconstruct", *sys.argv[1:]])
