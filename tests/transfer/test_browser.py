"""The report in headless Chromium, where there is one: it fits a phone, and logs nothing."""

import html
import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from maskssl.transfer.pages import html_page

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PHONE = 390  # pixels
CLASSES = [f"class {number} of_a_name_without_spaces" for number in range(30)]


def report() -> dict:
    """Values as long as they get: many checkpoints, long paths."""
    names = [f"checkpoint-{number}" for number in range(6)]
    table = [
        dict(setting=dict(feature=f"{block}.{pooling}", k=k, temperature=0.07), held_out=block / 20)
        for block in range(1, 13)
        for pooling in ("mean", "cls")
        for k in (1, 20)
    ]
    cells = [
        dict(checkpoint=name, figure=0.5, sd=0.01, interval=[0.4, 0.6], rank=1, held_out=0.5)
        | dict(reported=[])
        | dict(per_class=dict.fromkeys(CLASSES, 0.5), curves=dict(loss=[[1, 2.0], [9, 1.0]]))
        | dict(setting=table[0]["setting"], table=table, command="maskssl transfer " + "x" * 300)
        | dict(published=dict(figure=0.6, worth=0.1, setting=table[1]["setting"]))
        for name in names
    ]
    pair = dict(first=names[0], second=names[1], difference=0.1, interval=[0.0, 0.2], p_holm=0.01)
    pair |= dict(only_first=3, only_second=2, p_mcnemar=0.1, told_apart=True, by_seed=[0.1, 0.1])
    data = dict(folder="/data/" + "y" * 100, images=10, classes=2, sha256="0" * 64)
    checkpoint = dict(given="/runs/" + "z" * 200, architecture="12 blocks", weights="f" * 64)
    cost = dict(parameters=86e6, gflops=35.2)
    pictures = [
        dict(checkpoint=name, kind=kind, file=f"{name}-{kind}.jpg", alt=f"{name}: dots")
        | dict(caption="what it shows " * 30)
        for name in names
        for kind in ("attention", "map")
    ]
    counts = [[true, said, 1 + true] for true in range(len(CLASSES)) for said in (true, 0)]
    return dict(
        title="Transfer on frozen features: a folder with_a_long_name_that_nothing_breaks",
        command="maskssl transfer " + "c" * 400,
        facts=dict(settings="chosen on training images"),
        data=dict(train=data, test=data),
        checkpoints=[dict(checkpoint, name=n, ledger_text="l" * 300, cost=cost) for n in names],
        classes=CLASSES,
        confusion=dict.fromkeys(names, counts),
        pictures=pictures,
        measures=[
            dict(
                dict(name="knn", stage="knn", title="kNN", metric="top-1"),
                cells=cells,
                pairs=[pair],
                detectable=0.03,
            )
        ],
        failed={"other knn": "r" * 150},
        seconds={f"choose {name} knn": 3.0 + number for number, name in enumerate(names)},
    )


def picture(width: int) -> bytes:
    """Of a gallery."""
    content = io.BytesIO()
    Image.new("RGB", (width, 500), "teal").save(content, "JPEG")
    return content.getvalue()


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")
def test_the_report_fits_a_phone(tmp_path: Path):
    """Everything unfolded in a frame of 390 pixels, as the smallest window is wider than that."""
    told_of = report()
    shown_in = told_of["pictures"]
    pictures = {shown["file"]: picture(300 + 700 * (n % 2)) for n, shown in enumerate(shown_in)}
    page = html_page(told_of, pictures).replace("<details>", "<details open>")
    measure = (
        "const d=f.contentDocument,all=s=>[...d.querySelectorAll(s)];"
        "document.title=[d.documentElement.scrollWidth,d.documentElement.clientWidth,"
        "all('svg').length,all('img').filter(i=>i.complete&&i.naturalWidth).length,"
        "Math.max(...all('figure,figcaption,summary,p,.wide')"
        ".map(e=>e.getBoundingClientRect().right))].join(' ')"
    )
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<!doctype html><iframe id="f" style="border:0" width="{PHONE}" height="800" '
        f'srcdoc="{html.escape(page)}" onload="{html.escape(measure)}"></iframe>'
    )
    told = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
         "--dump-dom", frame.as_uri()],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    found = re.search(r"<title>([\d. ]+)</title>", told.stdout)
    assert found, told.stderr
    width, inner, plots, decoded, rightmost = map(float, found[1].split())
    assert width == inner <= PHONE and rightmost <= PHONE
    assert plots == 2 + 1 + 2 + 6 and decoded == 12
    assert "CONSOLE" not in told.stderr
