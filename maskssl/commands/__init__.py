"""The commands, one module each: ``add_arguments(parser)``, ``run(args)``, and a docstring as help.

A module imports nothing heavy before it runs, so that help and slips are answered at once.
"""

COMMANDS = {
    "train": "pretrain, probe, fine-tune, segment or detect, by a config",
    "test": "test a trained model, or a pretrained backbone by kNN",
    "transfer": "what pretrained encoders are worth on your images, frozen and trained: a report",
    "quickstart": "from images to a table of transfer results, in minutes",
    "study": "the quickstart over several seeds, random weights at their best: gain and spread",
    "evidence": "the project's own tables on real images: frozen features, and trained rows",
    "scenes": "write the drawn data set that the small configs train on",
    "visualize": "draw a run's schedule, masks, and what an encoder makes of pictures",
    "convert-checkpoint": "say what a checkpoint holds, tensor by tensor, and write its encoder",
    "export-backbone": "write a backbone for mmpretrain, timm, Hugging Face or ONNX",
    "compare": "put the logs of several runs into one picture and one table",
    "check-data": "look at the data of a config before a run is paid for",
    "convert": "convert YOLO, VOC, ImageNet's devkit or Hugging Face's data sets",
    "index": "index a list, a folder or tar shards ahead of a run",
    "cache": "write a config's training images decoded, for runs of many epochs",
    "benchmark": "time training steps on this machine, beside any other code",
    "doctor": "say what is installed, what will work, and what to do about the rest",
    "slurm-train": "train under Slurm, one process per GPU",
    "slurm-test": "test under Slurm, one process per GPU",
}
