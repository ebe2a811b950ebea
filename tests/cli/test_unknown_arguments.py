"""A key that no class takes: named by its place in the config, whenever the class is built."""

import pytest
from mmengine.config import Config
from mmengine.registry import HOOKS

import maskssl.registration  # noqa: F401
from maskssl.cli.config import ConfigError
from maskssl.cli.unknown_arguments import named_in
from maskssl.engine.hooks.checkpoint import SafeCheckpointHook
from maskssl.errors import MaskSSLError


def build(cfg: Config, at: str) -> None:
    from mmpretrain.registry import DATASETS, MODELS, PARAM_SCHEDULERS

    root = dict(model=MODELS, train_dataloader=DATASETS, param_scheduler=PARAM_SCHEDULERS)
    node = cfg
    for part in at.split("."):
        node = node[int(part)] if part.isdigit() else node[part]
    registry = HOOKS if at.startswith("default_hooks") else root[at.split(".")[0]]
    more = dict(optimizer=None) if registry is PARAM_SCHEDULERS else {}
    with named_in(cfg):
        registry.build(node, default_args=more)


CONFIG = dict(
    default_scope="mmpretrain",
    model=dict(
        backbone=dict(type="PlainViT", arch="mini", img_size=32, patch_size=4),
        head=dict(type="LinearClsHead", num_classes=10, in_channels=96),
    ),
    train_dataloader=dict(dataset=dict(type="IndexedImages", data_root="nowhere")),
    param_scheduler=[dict(type="ConstantLR"), dict(type="LinearLR", start_factor=0.1)],
    default_hooks=dict(momentum=dict(type="MomentumUpdateHook")),
)


@pytest.mark.parametrize(
    ("at", "key", "said"),
    [
        ("model.backbone", "drop_path", r"PlainViT takes no 'drop_path'; did you mean 'drop_path_"),
        ("model.backbone", "zzz", r"PlainViT takes no 'zzz'; It takes arch, "),
        (
            "param_scheduler.1",
            "star_factor",
            r"LinearLR takes .* did you mean 'start_factor'\? It takes start_factor, ",
        ),
        ("train_dataloader.dataset", "data_rot", "did you mean 'data_root'"),
        # what its base classes take is known too
        ("model.head", "num_clases", r"did you mean 'num_classes'"),
        ("model.head", "init_cg", r"did you mean 'init_cfg'"),
    ],
)
def test_a_key_that_no_class_takes_is_named(at, key, said):
    cfg = Config(CONFIG)
    cfg.merge_from_dict({f"{at}.{key}": 1})
    with pytest.raises(ConfigError, match=said) as refusal:
        build(cfg, at)
    assert str(refusal.value).startswith(f"{at}.{key}: ")


def test_a_defect_keeps_its_traceback():
    """The key stands in no entry of that class: not the config's fault."""

    def defect():
        raise TypeError("PlainViT.__init__() got an unexpected keyword argument 'drop_path'")

    with pytest.raises(TypeError, match="unexpected keyword"), named_in(Config(CONFIG)):
        defect()
    with pytest.raises(TypeError, match="other"), named_in(Config(CONFIG)):
        raise TypeError("other")


def test_what_no_save_takes_is_refused_before_the_first_one():
    with pytest.raises(MaskSSLError, match="takes no bar, foo; see"):
        SafeCheckpointHook(bar=3, foo=1)
    SafeCheckpointHook(interval=3, backend_args=None)
