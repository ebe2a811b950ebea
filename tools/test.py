"""Test a trained model, or a pretrained backbone by kNN; the same as ``maskssl test``."""

import sys

from maskssl.__main__ import main

if __name__ == "__main__":
    main(["test", *sys.argv[1:]])
