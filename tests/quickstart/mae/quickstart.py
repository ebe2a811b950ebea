"""The quickstart with a third method: its row and its configs are all there is to add.

python tests/quickstart/mae/quickstart.py OUT SCENES
"""

import sys
from pathlib import Path

from maskssl.methods import METHODS, Method
from maskssl.quickstart.plan import Plan
from maskssl.quickstart.quickstart import run_quickstart

HERE = Path(__file__).resolve().parent
MAE = Method(
    title="MAE",
    algorithm="MAE",
    configs={stage: str(HERE / f"{stage}.py") for stage in ("pretrain", "seg")},
    curves={"loss": "pixel loss"},
    blocks=("TransformerEncoderLayer",),
    draws_pixels=False,
)

if __name__ == "__main__":
    METHODS["mae"] = MAE
    run_quickstart(Plan("mae", Path(sys.argv[1]), Path(sys.argv[2]), smoke=True))
