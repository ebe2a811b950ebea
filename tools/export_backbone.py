"""Write a backbone for another library; the same as ``maskssl export-backbone``."""

import sys

from maskssl.__main__ import main

if __name__ == "__main__":
    main(["export-backbone", *sys.argv[1:]])
