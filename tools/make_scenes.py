"""Write the drawn data set; the same as ``maskssl scenes``."""

import sys

from maskssl.__main__ import main

if __name__ == "__main__":
    main(["scenes", *sys.argv[1:]])
