"""What the pages name is there: configs, commands, options, files, keys."""

import json
import re
from functools import cache
from pathlib import Path

import pytest
from mmengine.config import Config

import maskssl
from maskssl.cli.config import load_config
from maskssl.cli.doctor.tested_choices import TESTED
from maskssl.commands import COMMANDS
from tests import recipe_page

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# the flags of the authors' two READMEs
FLAGS = [
    "--data_path", "--output_dir", "--model", "--model_ema", "--model_ema_decay",
    "--model_ema_dynamic", "--batch_size", "--lr", "--min_lr", "--epochs",
    "--warmup_epochs", "--update_freq", "--mask_num", "--feature_weight", "--weight_mask",
    "--nproc_per_node", "--input_size", "--finetune", "--num_workers", "--layer_decay",
    "--backbone_decay", "--drop_path", "--abs_pos_emb", "--disable_rel_pos_bias",
    "--weight_decay", "--mixup", "--cutmix", "--nb_classes", "--model_key",
    "--enable_deepspeed", "--clip_grad", "--accum_iter", "--depth", "--global_pool",
    "--blr", "--dist_eval", "-a", "-b", "--weight-decay", "--weight-decay-end", "--opt",
    "--aug-spatialconsistent-color", "--loss", "--warmup-epochs", "--save-freq",
    "--opt-betas", "--drop_path_rate", "--attn_drop_rate", "--layer_scale_init_value",
    "--class_attention_layers", "--mask-ratio", "--num-masks", "--ema-momentum",
    "--proj-dim", "--dist-url", "--multiprocessing-distributed", "--seed", "--log_dir",
    "--optimizer", "--eval_momentum", "--pretrained", "--use_mean_pooling",
    "--color_jitter", "--reprob", "--opt_betas",
]  # fmt: skip


def texts(pattern: str) -> set[tuple[str, str]]:
    """(page, match) of a pattern in all pages."""
    return {(page.name, found) for page in PAGES for found in re.findall(pattern, page.read_text())}


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_configs_that_are_named_ship():
    named = texts(r"(?:pretrain|finetune|seg|det)/[\w.-]+\.py")
    assert len(named) > 40
    shipped = maskssl.config_files()
    lost = {name for _, name in named if name not in shipped}
    assert lost == {"finetune/run_class_finetuning.py"}  # the authors'
    old = {name for name, path in shipped.items() if "_deprecation_" in path.read_text()}
    assert {name for _, name in named} & old == set()


def test_commands_that_are_named_are_there():
    named = texts(r"(?:^|`)maskssl ([a-z][a-z-]+)")
    assert {name for _, name in named} <= {*COMMANDS, "COMMAND"}
    started = (ROOT / "docs" / "get-started.md").read_text()
    assert all(f"| `maskssl {name}" in started for name in COMMANDS)


def test_names_of_the_package_are_there():
    named = texts(r"maskssl\.([A-Za-z_]+)\(")
    assert named
    assert {(page, name) for page, name in named if name not in dir(maskssl)} == set()


def test_files_that_are_named_are_there():
    named = texts(
        r"`(?:python |bash )?((?:tools|tests|docs|maskssl|configs|requirements)/[\w/.-]+)"
    )
    missing = {(page, name) for page, name in named if not (ROOT / name).exists()}
    assert len(named) > 20 and missing == {
        item for item in missing if item[1] == "configs/METHOD/metafile.yml"
    }
    modules = texts(r"python -m (tests\.[\w.]+)")
    files = {ROOT / name.replace(".", "/") for _, name in modules}
    assert {
        file
        for file in files
        if not (file.with_suffix(".py").is_file() or (file / "__main__.py").is_file())
    } == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_page_is_in_the_site():
    nav = re.findall(r": ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(nav) == sorted(page.name for page in PAGES if page.parent.name == "docs")


def test_every_flag_of_the_authors_has_its_counterpart():
    page = (ROOT / "docs" / "flags.md").read_text()
    rows = [line.split("|")[1:3] for line in page.splitlines() if line.startswith("|")]
    told = {flag for row in rows for flag in re.findall(r"`(--?[\w-]+)", row[0])}
    assert set(FLAGS) - told == set()
    assert all(row[1].strip() for row in rows)


@cache
def paper_configs() -> list[Config]:
    return [
        load_config(str(path))
        for name, path in maskssl.config_files().items()
        if "-p16_" in name and not name.startswith("_base_")
    ]


def has_key(cfg: Config, key: str) -> bool:
    node = cfg.to_dict()
    for part in key.split("."):
        if isinstance(node, list) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        elif isinstance(node, dict) and part in node:
            node = node[part]
        else:
            return False
    return True


def test_keys_that_are_named_are_of_some_config():
    page = (ROOT / "docs" / "flags.md").read_text()
    roots = "model|optim_wrapper|train_dataloader|val_dataloader|param_scheduler"
    roots += "|default_hooks|train_cfg"
    keys = set(re.findall(rf"`((?:{roots})\.[\w.]+)", page))
    assert len(keys) > 25
    optional = {"optim_wrapper.paramwise_cfg.backbone_lr_mult"}  # 1, and so in no config
    lost = {key for key in keys if not any(has_key(cfg, key) for cfg in paper_configs())}
    assert lost <= optional


def test_options_that_are_named_are_there(capsys):
    started = (ROOT / "docs" / "get-started.md").read_text()
    rows = re.findall(r"^\| `(--[a-z-]+)", started, re.MULTILINE)
    assert len(rows) > 10
    from maskssl.__main__ import main

    told = ""
    for command in ("train", "test"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        told += capsys.readouterr().out
    assert [option for option in rows if option not in told] == []


def test_the_ways_that_were_tried_stand_in_the_docs():
    page = (ROOT / "docs" / "distributed.md").read_text()
    for way, _ in TESTED:
        assert way.split()[-1] in page


def test_the_quickstarts_figures_are_those_of_the_study():
    rows = json.loads((ROOT / "docs" / "results" / "quickstart-study.json").read_text())["rows"]
    assert len(rows) == 6
    for row in rows:
        random = row["randoms"][row["best"]]
        cells = [
            f"{one['mean']:.1f} ± {one['deviation']:.1f}" for one in (row["pretrained"], random)
        ]
        gain = f"{row['gain']['mean']:+.1f} ± {row['gain']['deviation']:.1f}"
        for page in ("README.md", "docs/measured.md"):
            assert f"| {' | '.join(cells)} | {gain} |" in (ROOT / page).read_text()
        assert row["gain"]["mean"] > row["gain"]["deviation"]


def test_the_page_of_values_is_rendered_from_the_table():
    assert recipe_page.PAGE.read_text() == recipe_page.page(recipe_page.TABLE.read_text())
