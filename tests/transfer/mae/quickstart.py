"""The quickstart with a third method: its row and its configs are all there is to add.

python tests/transfer/mae/quickstart.py OUT SCENES
"""

import sys
from pathlib import Path

from maskssl.methods import METHODS, Method
from maskssl.transfer.plan import Plan
from maskssl.transfer.quickstart import run_transfer

HERE = Path(__file__).resolve().parent
MAE = Method(
    title="MAE",
    algorithm="MAE",
    configs={stage: str(HERE / f"{stage}.py") for stage in ("pretrain", "knn", "seg")},
    curves={"loss": "pixel loss"},
    blocks=("TransformerEncoderLayer",),
    draws_pixels=False,
    features="mean of the patch tokens",
)

if __name__ == "__main__":
    METHODS["mae"] = MAE
    run_transfer(Plan("mae", Path(sys.argv[1]), Path(sys.argv[2]), smoke=True))
