"""Say what is installed here and what will work; the same as ``maskssl doctor``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # maskssl may not be installed

from maskssl.__main__ import main

if __name__ == "__main__":
    main(["doctor", *sys.argv[1:]])
