"""The report in headless Chromium, where there is one: it fits a phone, and logs nothing."""

import html
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from maskssl.frozen.pages import html_page
from maskssl.frozen.plots import report_plots

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PHONE = 390  # pixels


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
        dict(
            checkpoint=name,
            figure=0.5,
            reported=[],
            sd=0.01,
            interval=[0.4, 0.6],
            rank=1,
            held_out=0.5,
        )
        | dict(setting=table[0]["setting"], table=table, command="maskssl transfer " + "x" * 300)
        | dict(published=dict(figure=0.6, worth=0.1, setting=table[1]["setting"]))
        for name in names
    ]
    pair = dict(first=names[0], second=names[1], difference=0.1, interval=[0.0, 0.2], p_holm=0.01)
    pair |= dict(only_first=3, only_second=2, p_mcnemar=0.1, told_apart=True, by_seed=[0.1, 0.1])
    data = dict(folder="/data/" + "y" * 100, images=10, classes=2, sha256="0" * 64)
    checkpoint = dict(given="/runs/" + "z" * 200, architecture="12 blocks", weights="f" * 64)
    return dict(
        title="Transfer on frozen features: a folder with_a_long_name_that_nothing_breaks",
        command="maskssl transfer " + "c" * 400,
        facts=dict(settings="chosen on training images"),
        data=dict(train=data, test=data),
        checkpoints=[dict(checkpoint, name=name, ledger_text="l" * 300) for name in names],
        measures=[
            dict(
                name="knn", title="kNN", metric="top-1", cells=cells, pairs=[pair], detectable=0.03
            )
        ],
        failed={"other knn": "r" * 150},
        seconds={"choose a knn": 3.0},
    )


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")
def test_the_report_fits_a_phone(tmp_path: Path):
    """Everything unfolded in a frame of 390 pixels, as the smallest window is wider than that."""
    page = html_page(report(), report_plots(report())).replace("<details>", "<details open>")
    measure = (
        "const d=f.contentDocument;document.title=[d.documentElement.scrollWidth,"
        "d.querySelectorAll('svg').length,d.documentElement.clientWidth].join(' ')"
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
    found = re.search(r"<title>(\d+) (\d+) (\d+)</title>", told.stdout)
    assert found, told.stderr
    width, plots, inner = map(int, found.groups())
    assert width == inner <= PHONE and plots == 2
    assert "CONSOLE" not in told.stderr
