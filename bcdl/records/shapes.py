"""What a record holds, field by field: what each is, its unit, and why it is there. One row a field.

To add a field is to add its row here, or to `Record` itself; `python -m bcdl.report.record_fields` then writes
`docs/records.md` anew.
"""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

from bcdl.records.fields import Field

# When a field is there, if it is not in every record that is ok.
TIMED = "if speed is measured (`timing`)"
COLD = "if speed is measured, and nothing of it was loaded from the compilation cache"
WARM = "if speed is measured, and what the figure compiles was loaded from the compilation cache, all or a part"
TESTED = "if the cell is tested (`test`)"
HEAD = "if the head was trained alone first (`head_epochs`)"
SAID = "if the system says so"
JUMPED = "if the clock was behind"
SCHEDULED = "if it was measured in a scheduler's job"
ON_GPU = "on a GPU that reports it"
COLD_ON_GPU = "on a GPU, if speed is measured and nothing was loaded from the compilation cache"
KNOWN_ON_GPU = "on a GPU, if the framework can tell; else a note says why not"
LOOKED = "if the run looked for leaks"
FROM_FILES = "if the images are files"
NOTED = "if there is something to say"
OLDER = "if a schema before 8 recorded it"
BEFORE_9 = "in records of schemas before 9"

LEAST_TIME_S = 1e-9  # of what is timed: no clock tells less apart
_LEAST_PEAK_MIB = 2**-10  # no process holds less than 1 KiB
_MOST_MOVED_S = 1e12  # by which a clock may be wrong: all of the years that a moment can have


def host_peak(device: str) -> str:
    """The metric of the most resident memory of a worker whose cell ran on `device`."""
    return "peak_memory_mib" if device == "cpu" else "host_peak_memory_mib"


# What stands between < and > in a field's name, and its values, if they are known.
KEYS: dict[str, tuple[str, tuple[str, ...]]] = {
    "regime": ("what is timed", ("fit", "step", "predict", "request")),
    "split": ("a part of the data", ("train", "val", "test")),
    "figure": (
        "a metric that compiling has a part in",
        (
            "build_s",
            "first_step_s",
            "peak_memory_mib",
            "host_peak_memory_mib",
            "device_peak_memory_mib",
            "request_warm_up_s",
        ),
    ),
    "warmth": ("how much was loaded from the compilation cache", ("warm", "partly_warm")),
    "phase": ("a phase of a cell, listed under [phases](#phases)", ()),
    "layer_type": ("a class of Keras's layers, as `Conv2D`", ()),
    "package": ("a package by its name in the index", ()),
    "variable": ("an environment variable", ()),
    "pool": ("a pool of threads: `intra_op`, `inter_op`", ()),
    "kind": ("what is left out, in words", ()),
    "name": ("a name of a folder or a label", ()),
    "part": ("a part of what is said of the table: `name`, `sha256`, `image`, `label`, `group`", ()),
    "flag": ("a setting of the framework, by its own name", ()),
    "operation": ("what the probe of precision runs", ("matmul", "conv")),
    "cause": ("what held the GPU back", ("power", "temperature")),
    "reason": (
        "why NVML says that the GPU is held back",
        (
            "software power cap",
            "hardware slowdown",
            "software thermal slowdown",
            "hardware thermal slowdown",
            "hardware power brake",
        ),
    ),
    "backend": ("a folder of `backends/`", ()),
    "loader": ("the backend that loads a checkpoint", ()),
    "pair": ("two backends, in alphabetical order with a hyphen between", ()),
    "quantity": ("what is compared: `outputs`, `gradient`, `loss` and others", ()),
    "steps": ("a number of training steps", ()),
    "layer_check": ("a row of the checks of single layers", ()),
    "precision": ("an arithmetic, as `--precision` names it", ()),
    "way": ("how the steps were made: `as_it_is` or `deterministic`", ()),
}

METRICS = {
    "import_s": Field(
        "time to import Keras and the framework", "it is paid once a process, and by no rate", unit="s", only=TIMED
    ),
    "build_s": Field(
        "time to build and compile the Keras model and to give it its weights",
        "it is paid once a model, and by no rate",
        unit="s",
        only=COLD,
    ),
    "first_step_s": Field(
        "time of a `fit` of one step: tracing, compilation and the step",
        "compilation is a figure of its own, so that no rate holds it",
        unit="s",
        only=COLD,
    ),
    "<warmth>_<figure>": Field(
        "the same as `<figure>`, whose own name is then missing",
        "a cache made it shorter or smaller, so that it is no cold figure's equal",
        unit="that of `<figure>`",
        since=7,
        only=WARM,
    ),
    "<regime>_images_per_s": Field(
        "the median rate of the samples of the same regime",
        "what tables show and comparisons compare",
        unit="images/s",
        only=TIMED,
    ),
    "input_images_per_s": Field(
        "rate of the input pipeline alone, as `fit` is fed by it",
        "a `fit` that is not much slower is bounded by it",
        unit="images/s",
        since=8,
        only=TIMED,
    ),
    "kept_epoch": Field(
        "the epoch whose weights are tested, counted from 1",
        "with `keep` set to `best` it need not be the last",
        since=4,
        least=1,
    ),
    "test_accuracy": Field(
        "share of test images whose larger output is their class",
        "how often the model is right",
        unit="share",
        only=TESTED,
    ),
    "test_auroc": Field(
        "area under the ROC curve of the malignant score; null if the test images are of one class",
        "it depends on no threshold",
        unit="share",
        only=TESTED,
    ),
    "test_loss": Field(
        "mean binary cross-entropy of the test images", "it shows wrong confidence", unit="nats", only=TESTED
    ),
    "test_majority_accuracy": Field(
        "accuracy of always naming the more frequent class of the test images",
        "an accuracy means nothing without it",
        unit="share",
        only=TESTED,
    ),
    "val_accuracy": Field(
        "as `test_accuracy`, of the validation images, by the weights that were kept",
        "settings are chosen by it, and not by test images",
        unit="share",
        since=12,
    ),
    "val_auroc": Field("as `test_auroc`, of the same", "as `val_accuracy`", unit="share", since=12),
    "val_loss": Field("as `test_loss`, of the same", "as `val_accuracy`", unit="nats", since=12),
    "val_majority_accuracy": Field(
        "as `test_majority_accuracy`, of the same", "an accuracy means nothing without it", unit="share", since=12
    ),
    "train_mode_accuracy": Field(
        "accuracy on training images, normalised by the batch's own statistics, dropout active",
        "beside `inference_mode_accuracy` it shows batch norms that have not settled",
        unit="share",
    ),
    "train_mode_loss": Field("loss of the same", "as `train_mode_accuracy`", unit="nats"),
    "inference_mode_accuracy": Field(
        "accuracy on the same images, normalised by moving averages",
        "if it is far below `train_mode_accuracy`, the test figures are those of stale statistics",
        unit="share",
    ),
    "inference_mode_loss": Field("loss of the same", "as `inference_mode_accuracy`", unit="nats"),
    "<regime>_warm_up_s": Field(
        "time of the windows of the regime before those that count; not of `fit`, whose samples have it",
        "what was left out is known; the first request compiles the forward function for one image",
        unit="s",
        since=2,
        only=TIMED,
    ),
    "<regime>_energy_j_per_image": Field(
        "energy that the GPU drew while the windows of the regime were repeated after they were timed, over their "
        "images, what it draws when idle included; before schema 9 of the whole regime, with its warm-up",
        "speed that is bought with energy shows",
        unit="J/image",
        since=2,
        only=ON_GPU,
    ),
    "<regime>_power_w": Field(
        "the GPU's mean power over the same time",
        "a GPU at its power limit holds its clock back",
        unit="W",
        since=2,
        only=ON_GPU,
    ),
    "idle_power_w": Field(
        "the GPU's mean power before the framework was imported, while the worker waited and held no part of it",
        "the energy of an image holds it, and the model has no part in it; with a framework at rest, or just after "
        "other work, it draws more",
        unit="W",
        since=9,
        only=ON_GPU,
    ),
    "peak_memory_mib": Field(
        "most resident memory of the worker of a cell on a CPU; of a worker that died, what its driver saw; in schemas "
        "before 9, on a GPU, the peak of the framework's allocator",
        "it decides which batch fits",
        unit="MiB",
        least=_LEAST_PEAK_MIB,
        only=COLD,
    ),
    "host_peak_memory_mib": Field(
        "the same of a cell on a GPU",
        "the host may run out of memory before the GPU does",
        unit="MiB",
        least=_LEAST_PEAK_MIB,
        since=9,
        only=COLD_ON_GPU,
    ),
    "device_peak_memory_mib": Field(
        "most that the framework's allocator held on the GPU during training steps, if its peak can be reset; else of "
        "all until then, and a note says so",
        "it decides which batch fits",
        unit="MiB",
        least=_LEAST_PEAK_MIB,
        since=9,
        only=KNOWN_ON_GPU,
    ),
    "predict_device_peak_memory_mib": Field(
        "the same during inference; the optimizer's state is held, too",
        "as `device_peak_memory_mib`",
        unit="MiB",
        least=_LEAST_PEAK_MIB,
        since=9,
        only=KNOWN_ON_GPU,
    ),
    "latency_ms": Field(
        "median time of a request of one image, from its bytes to its outputs on the host",
        "what a single user waits; no rate of batches gives it",
        unit="ms",
        least=1000 * LEAST_TIME_S,
        since=2,
        only=TIMED,
    ),
    "product_flops_per_s": Field(
        "the most that this worker got in a large matrix product",
        "the device's limit, which utilisation is a share of; it also shows a machine that changed its speed",
        unit="operations/s",
        since=8,
        only=TIMED,
    ),
    "convolution_flops_per_s": Field(
        "the most that it got in a large 3x3 convolution",
        "as `product_flops_per_s`: no one operation is the fastest of every framework",
        unit="operations/s",
        since=8,
        only=TIMED,
    ),
    "memory_bytes_per_s": Field(
        "the most that it got adding one array to another in place, bytes read and written",
        "the other roof of the roofline",
        unit="bytes/s",
        since=8,
        only=TIMED,
    ),
    "copy_bytes_per_s": Field(
        "what older schemas called `peak_bytes_per_s`: a copy into new memory",
        "it is kept, since it was measured, and is no limit: it timed how fast the system hands out pages",
        unit="bytes/s",
        since=8,
        only=OLDER,
    ),
}

SAMPLES = {
    "<regime>_s": Field(
        "the samples that count: an epoch each of `fit`, a window of `step` and `predict`, one `request`",
        "every table is computed from them, and their spread shows what a median hides",
        unit="s",
        least=LEAST_TIME_S,
    ),
    "<regime>_warm_up_s": Field(
        "the samples before those: the first epoch of `fit`, windows that were not steady yet",
        "whoever doubts the rule of the steady state can apply another",
        unit="s",
        least=LEAST_TIME_S,
        since=2,
    ),
}

HISTORY_BY_EPOCH = {
    "accuracy": Field(
        "accuracy on training images, in training mode", "it shows whether the model learns", unit="share"
    ),
    "loss": Field("the loss that is minimised, in training mode", "as `accuracy`", unit="nats"),
    "val_accuracy": Field("accuracy on validation images, in inference mode", "it shows overfitting", unit="share"),
    "val_auroc": Field("area under the ROC curve of validation images", "as `val_accuracy`", unit="share"),
    "val_loss": Field("loss on validation images", "it chooses the epoch that is kept", unit="nats"),
    "head_accuracy": Field(
        "accuracy by epoch of the head alone", "those epochs are not in `accuracy`", unit="share", since=4, only=HEAD
    ),
    "head_loss": Field("loss by epoch of the head alone", "as `head_accuracy`", unit="nats", since=4, only=HEAD),
}


class Predictions(TypedDict):
    """What a record says of a split's images, an entry for each."""

    outputs: Annotated[
        list[tuple[float, float]],
        Field(
            "the two sigmoid outputs of each image, benign and malignant",
            "every other metric can be computed later",
            unit="share",
            most=1,
        ),
    ]
    scores: Annotated[
        list[float],
        Field(
            "the malignant score of each, p1 / (p0 + p1)",
            "metrics and tests between models are computed from it",
            unit="share",
            most=1,
        ),
    ]
    labels: Annotated[
        list[int], Field("the class of each: 0 benign, 1 malignant", "the truth that scores are held to", most=1)
    ]
    groups: Annotated[
        list[str],
        Field(
            "the patient or group of each, or its hash", "intervals resample groups, whose images are not independent"
        ),
    ]
    names: Annotated[
        list[str], Field("the name of each, or its hash; never a path", "flipped and wrong images can be named")
    ]


class Listed(TypedDict, total=False):
    """Lists of images that were found, counted."""

    count: Annotated[
        int, Field("how many lists of images, or groups, there are", "the names are of the first alone", since=4)
    ]
    images: Annotated[int, Field("how many images or groups they hold together", "as `count`", since=4)]
    listed: Annotated[list[Any], Field("the first 200 of them, by name", "so that they can be looked at", since=4)]


class Across(TypedDict, total=False):
    """What stands on both sides of the split."""

    identical: Annotated[Listed, Field("identical images in two splits or more", "they were trained on and tested")]
    near: Annotated[Listed, Field("near-identical images in two splits or more", "as `identical`")]
    groups: Annotated[
        Listed | None,
        Field("groups in two splits or more; null if no groups are known", "a patient's images are alike"),
    ]
    conflicting: Annotated[
        Listed, Field("identical images of which a split holds one, with different labels", "one label is wrong")
    ]
    copied: Annotated[
        dict[str, int],
        Field("images of a split that have a copy in `train`", "that part of a test tests nothing", keys=("split",)),
    ]


class Leaks(TypedDict, total=False):
    """What the leak detector says of the data and its split."""

    clean: Annotated[
        bool,
        Field(
            "whether nothing stands on both sides; of images that `ungrouped` counts, no patient could be looked for",
            "a figure from a leaking split is marked",
        ),
    ]
    notices: Annotated[
        list[str], Field("what a person should know, in sentences", "pages and cards print them", since=6)
    ]
    images: Annotated[int, Field("images of the whole data set", "what the counts are out of")]
    compared: Annotated[
        int, Field("images that were compared for near-duplicates", "of those too small to compare nothing is known")
    ]
    identical: Annotated[Listed, Field("identical images anywhere in the data set", "they shrink it")]
    near: Annotated[Listed, Field("near-identical images anywhere in it", "as `identical`")]
    conflicting: Annotated[Listed, Field("identical images with different labels", "one of the labels is wrong")]
    near_conflicting: Annotated[
        Listed, Field("near-identical images with different labels", "one of the labels may be wrong")
    ]
    across: Annotated[
        Across, Field("those of them that stand on both sides of the split", "these make figures too good")
    ]


class SourceFacts(TypedDict, total=False):
    """How images were read from files; each fact only if there is something to say."""

    layout: Annotated[str, Field("the layout that was recognised", "it decides classes, splits and patients")]
    groups_from: Annotated[str, Field("what says which patient an image is of", "a guess is told as one")]
    class_map: Annotated[
        dict[str, str], Field("class by the name of a folder or label", "a wrong map is a wrong label", keys=("name",))
    ]
    labels: Annotated[
        dict[str, str],
        Field("the table of labels: name, SHA-256, and columns read", "as `class_map`", keys=("part",)),
    ]
    left_out: Annotated[
        dict[str, int], Field("files and images that are not used", "nothing is left out silently", keys=("kind",))
    ]
    grey_bits: Annotated[
        int, Field("depth of grey images of more than 8 bits, found or given", "a wrong depth is a black image")
    ]


class _EveryDataset(TypedDict):
    name: Annotated[str, Field("the data set's name, never a path", "titles name it")]
    checksum: Annotated[
        str,
        Field("SHA-256 of images, labels, groups and split", "records of other data stand in other tables"),
    ]
    synthetic: Annotated[bool, Field("whether the images are drawings", "accuracy on drawings is none on patients")]
    images: Annotated[
        dict[str, int], Field("number of images", "the size of a test decides its interval", keys=("split",))
    ]
    malignant: Annotated[
        dict[str, int], Field("of these, malignant", "accuracy means little if one class is rare", keys=("split",))
    ]
    groups: Annotated[
        dict[str, int], Field("patients or groups; images, if none are known", "as `images`", keys=("split",))
    ]
    notices: Annotated[list[str], Field("what was left out or assumed, in sentences", "nothing is left out silently")]


class DatasetFacts(_EveryDataset, total=False):
    """What a record says of its data; never a path. Counts are by split. Older records lack some of these."""

    images_checksum: Annotated[
        str,
        Field("SHA-256 of the images, whatever their split", "folds and seeds of one data set are recognised", since=4),
    ]
    grouped: Annotated[
        bool,
        Field(
            "whether every image's patient or group is known; before schema 10, whether any was",
            "else each image of none counts as one",
            since=4,
        ),
    ]
    benign_groups: Annotated[
        dict[str, int],
        Field("patients or groups with benign images", "figures of a class rest on them", keys=("split",), since=10),
    ]
    malignant_groups: Annotated[
        dict[str, int],
        Field("patients or groups with malignant images", "as `benign_groups`", keys=("split",), since=10),
    ]
    ungrouped: Annotated[
        dict[str, int],
        Field(
            "images whose patient or group is not known",
            "each counts as a patient of its own, in the interval too",
            keys=("split",),
            since=10,
        ),
    ]
    names: Annotated[
        str,
        Field(
            "`hashed` if names of images and groups are, keyed by a checksum of the images that no record holds; "
            "`kept` if not, by `--keep-names` or since the data set's names are public; so in older records",
            "names of files and patients may say who a patient is",
            since=11,
            only=LOOKED,
        ),
    ]
    rules: Annotated[
        int,
        Field("version of the rules that choose images and groups", "other rules make another data set", since=10),
    ]
    source: Annotated[
        SourceFacts,
        Field("how the data was read", "what was given is not taken on trust", since=10, only=FROM_FILES),
    ]
    leaks: Annotated[
        Leaks,
        Field(
            "what the data holds twice, and on both sides of its split",
            "a leak makes figures too good",
            since=4,
            only=LOOKED,
        ),
    ]


class Cost(TypedDict):
    """Operations for one image by type of layer, and bytes: of all weights, and of one image's layer outputs."""

    forward_flops: Annotated[
        dict[str, int],
        Field(
            "operations of the forward pass for one image, two to a multiply-add",
            "utilisation is these over the device's limit",
            unit="operations",
            keys=("layer_type",),
        ),
    ]
    training_flops: Annotated[
        dict[str, int],
        Field(
            "operations of a training step for one image", "as `forward_flops`", unit="operations", keys=("layer_type",)
        ),
    ]
    weight_bytes: Annotated[int, Field("all weights, in float32", "what a step must move at least", unit="bytes")]
    activation_bytes: Annotated[
        int,
        Field("every layer's output once for one image, in float32; an estimate", "as `weight_bytes`", unit="bytes"),
    ]


class ModelFacts(TypedDict, total=False):
    """What a record says of its model."""

    parameters: Annotated[int, Field("number of weights", "it is held to the published count of the model")]
    trainable_parameters: Annotated[int, Field("number of weights that are trained", "frozen ones cost no gradient")]
    head_padding: Annotated[
        str, Field("padding of the head's convolution, which the image size decides", "other padding is another model")
    ]
    initial_weights: Annotated[
        str, Field("SHA-256 of the weights that training starts from", "backends are compared from equal weights")
    ]
    cost: Annotated[Cost, Field("what the model costs", "a rate says how fast, this of how much", since=2)]


class Weights(TypedDict, total=False):
    """Where the weights came from."""

    kind: Annotated[str, Field("`none` if drawn at random, `imagenet`, or `file`", "tables keep the three apart")]
    sha256: Annotated[
        str | None, Field("SHA-256 of the file, if one was loaded", "a file's name does not say its content")
    ]


class GpuWatched(TypedDict, total=False):
    """What a GPU reported while it was watched; other readings may follow."""

    watched_s: Annotated[float, Field("how long it was watched", "what follows is of this time", unit="s", since=9)]
    repeats: Annotated[
        int,
        Field("windows that ran meanwhile", "their rate should be near that of the windows that were timed", since=9),
    ]
    samples: Annotated[int, Field("how often the GPU was looked at meanwhile", "a share of few says little", since=9)]
    energy_updates: Annotated[
        int, Field("how often its counter of energy moved meanwhile", "it moves in steps of 20 to 100 ms", since=9)
    ]
    energy_missing: Annotated[
        str, Field("why the counter gives no energy", "an absent figure is explained", since=9, only="if it gives none")
    ]
    throttled_share: Annotated[
        dict[str, float],
        Field(
            "share of the samples in which it was held back",
            "the reason says more than a counter of time",
            unit="share",
            since=9,
            keys=("reason",),
            only="if a sample was",
        ),
    ]
    sm_clock_median_mhz: Annotated[
        float, Field("clock of its cores, the median", "a rate holds for its clock", unit="MHz", since=9, only=ON_GPU)
    ]
    sm_clock_least_mhz: Annotated[
        float, Field("the least of them", "as `sm_clock_median_mhz`", unit="MHz", since=9, only=ON_GPU)
    ]
    memory_clock_median_mhz: Annotated[
        float, Field("clock of its memory, the median", "as `sm_clock_median_mhz`", unit="MHz", since=9, only=ON_GPU)
    ]
    temperature_most_c: Annotated[
        float, Field("its highest temperature", "a warm GPU holds its clock back", unit="°C", since=9, only=ON_GPU)
    ]
    power_median_w: Annotated[
        float,
        Field(
            "its power, as it gives it by itself, the median; a mean over up to a second, of which some cards measure "
            "a part",
            "it should be near the power that the counter of energy gives",
            unit="W",
            since=9,
            only=ON_GPU,
        ),
    ]


class GpuState(GpuWatched, total=False):
    """What a GPU reported of a regime: at the edges of its timed windows, and while they were repeated for it."""

    held_back_share: Annotated[
        dict[str, float],
        Field(
            "share of the time of the timed windows for which it was held back, as it counts itself",
            "the rate is not the GPU's best then",
            unit="share",
            since=9,
            keys=("cause",),
            only=ON_GPU,
        ),
    ]
    sm_clock_mhz: Annotated[
        list[float | None],
        Field("clock of its cores before and after", "a rate holds for its clock", unit="MHz", only=BEFORE_9),
    ]
    memory_clock_mhz: Annotated[
        list[float | None], Field("clock of its memory before and after", "as above", unit="MHz", only=BEFORE_9)
    ]
    temperature_c: Annotated[
        list[float | None], Field("temperature before and after", "as above", unit="°C", only=BEFORE_9)
    ]
    throttled: Annotated[
        list[str], Field("reasons for which it was held back at either end", "as `throttled_share`", only=BEFORE_9)
    ]
    held_back_s: Annotated[
        dict[str, float],
        Field("time for which it was held back", "as `held_back_share`", unit="s", keys=("cause",), only=BEFORE_9),
    ]


class GpuFacts(TypedDict, total=False):
    """The GPU that computes, as it is set and built in; what its driver does not report is absent."""

    memory_mib: Annotated[int, Field("its whole memory", "it decides which batch fits", unit="MiB")]
    power_limit_w: Annotated[
        float, Field("the most that its card may draw, as it is set", "a GPU at its limit slows down", unit="W")
    ]
    ecc: Annotated[bool, Field("whether its memory corrects errors", "on some cards that takes bandwidth")]
    mig: Annotated[
        str,
        Field(
            "whether its card is divided (MIG): `Enabled`, `Disabled` or `not supported`",
            "others may use the rest of it at the same time",
        ),
    ]
    cuda_driver: Annotated[str, Field("the newest version of CUDA that the driver supports", "as `driver`")]
    pcie_generation: Annotated[
        int, Field("of the link to it, the most of which both sides are capable", "images reach it by the link")
    ]
    pcie_width: Annotated[int, Field("lanes of the link, likewise", "as `pcie_generation`", unit="lanes")]
    present: Annotated[
        int, Field("GPUs that the driver lists; one of them computes", "what others do there is not seen")
    ]


class Process(TypedDict):
    """What a record says of the process that measured it."""

    cells_before: Annotated[
        int, Field("how many cells it had measured before", "what they compiled and left in memory was there already")
    ]


class IdentityGpu(TypedDict, total=False):
    """What of a GPU makes a machine this one, as texts; `unknown` is what its driver does not report."""

    name: Annotated[str, Field("its name", "rates depend on it", since=8)]
    memory_mib: Annotated[str, Field("all of its memory", "cards of one name come with several", unit="MiB", since=8)]
    compute_capability: Annotated[str, Field("version of its architecture", "it decides on the arithmetic", since=8)]
    mig_mode: Annotated[str, Field("whether it is divided into instances", "an instance is a part of a GPU", since=8)]


class Identity(TypedDict, total=False):
    """What makes a machine this one. A fact that the system does not say is `unknown`, an empty list or null."""

    digest: Annotated[str, Field("digest of the facts below", "it is a part of the machine's name")]
    hardware: Annotated[
        str, Field("digest of the same, less the cores allowed", "other hardware and other cores are told apart")
    ]
    vendor: Annotated[str, Field("the processor's vendor", "a brand does not say which processor it is")]
    family: Annotated[str, Field("its family, as the vendor numbers them", "as `vendor`")]
    model: Annotated[str, Field("its model within the family", "as `vendor`")]
    stepping: Annotated[str, Field("its stepping or revision", "as `vendor`")]
    instruction_sets: Annotated[
        list[str], Field("sets of instructions that it has, of a stated list", "libraries choose their kernels by them")
    ]
    l2_kib: Annotated[list[int], Field("size of one L2 cache; several if cores differ", "as `vendor`", unit="KiB")]
    l3_kib: Annotated[list[int], Field("size of one L3 cache; several if cores differ", "as `vendor`", unit="KiB")]
    gpus: Annotated[
        list[IdentityGpu],
        Field("the GPU that computes; before schema 9 each one there is", "as `vendor`", only="if a GPU computes"),
    ]
    cores_allowed: Annotated[
        float | None,
        Field(
            "cores that the process may use, by its affinity or a container's quota",
            "rates of fewer cores are no regression",
        ),
    ]
    unknown: Annotated[list[str], Field("names of the facts that the system does not say", "the digest knows less")]


class Disturbance(TypedDict, total=False):
    """What else happened while a regime was timed, its warm-up included; what the system does not report is absent."""

    wall_s: Annotated[float, Field("how long the regime took", "what the others are shares of", unit="s")]
    processor_s: Annotated[
        float,
        Field("processor time of the worker, all threads together", "a process that waits measures waiting", unit="s"),
    ]
    machine_s: Annotated[
        float, Field("time of all processors that the worker may use, together", "as `wall_s`", unit="s", only=SAID)
    ]
    others_s: Annotated[
        float, Field("time of these that other processes took", "they took it from the worker", unit="s", only=SAID)
    ]
    steal_s: Annotated[
        float, Field("time that the host gave to its other guests", "as `others_s`", unit="s", only=SAID)
    ]
    quota_s: Annotated[
        float, Field("time for which a container's quota held it back", "as `others_s`", unit="s", only=SAID)
    ]
    heat_s: Annotated[
        float, Field("time for which the processor was slowed down for its heat", "as `others_s`", unit="s", only=SAID)
    ]
    asleep_s: Annotated[
        float, Field("time for which the machine was suspended", "no clock of the worker shows it", unit="s", only=SAID)
    ]
    load: Annotated[
        list[float],
        Field("load before and after: the mean of a minute of processes that run", "as `others_s`", only=SAID),
    ]
    involuntary_switches: Annotated[
        int, Field("how often another process or thread was preferred", "as `others_s`", only=SAID)
    ]
    major_faults: Annotated[int, Field("pages that were waited for", "memory was short", only=SAID)]
    stops: Annotated[int, Field("how often the process was stopped and continued", "as `asleep_s`", only=SAID)]
    other_runs: Annotated[int, Field("processes that measured for bcdl beside it", "two runs measure each other")]


class ClockFacts(TypedDict, total=False):
    """How the time of day moved."""

    jumped_s: Annotated[
        float,
        Field(
            "time by which it was set forward as the cell ran, negative if back",
            "moments of the record are then wrong",
            unit="s",
            least=-_MOST_MOVED_S,
            most=_MOST_MOVED_S,
        ),
    ]
    behind_s: Annotated[
        float,
        Field(
            "time by which it was behind the end of an earlier record as the run began",
            "as `jumped_s`",
            unit="s",
            least=-_MOST_MOVED_S,
            most=_MOST_MOVED_S,
            only=JUMPED,
        ),
    ]


class Scheduler(TypedDict, total=False):
    """The scheduler's job that measured the cell; no name of a node."""

    name: Annotated[str, Field("the scheduler: `slurm`", "ids are those of a scheduler")]
    job: Annotated[
        str,
        Field(
            "digest of the cluster's name and the job's id",
            "records of one job are known, and who has the id finds them",
        ),
    ]
    array: Annotated[
        str, Field("the same of the job array that it is a task of", "as `job`", only="if it is a task of one")
    ]
    restarts: Annotated[
        int, Field("how often the scheduler had started it again", "it was put back into the queue, or its node failed")
    ]


class InputPipelineFacts(TypedDict, total=False):
    """What makes the batches of `fit`."""

    threads: Annotated[int, Field("threads that make batches: as many as cores are allowed", "they set its rate")]
    batches_ahead: Annotated[
        int,
        Field(
            "batches made ahead of the device at most, besides those that the framework itself keeps ready",
            "so many of an epoch may be made before its clock starts",
        ),
    ]


class Environment(TypedDict, total=False):
    """What a record says of the machine and the code that made it; other facts may follow."""

    cpu: Annotated[str, Field("the processor's name", "rates of another processor are no regression")]
    cpu_cores: Annotated[int | None, Field("logical cores of the machine", "as `cpu`")]
    cpu_cores_allowed: Annotated[
        float | None,
        Field(
            "cores that the process may use, a fraction by a quota; null if the system does not say",
            "as `cpu`",
            since=5,
        ),
    ]
    identity: Annotated[
        Identity, Field("what makes the machine this one", "two processors may carry one name", since=8)
    ]
    cpu_quota_cores: Annotated[
        float | None,
        Field("a container's quota of processor time, in cores; null if none", "as `cpu`", unit="cores", since=8),
    ]
    hypervisor: Annotated[
        bool | None, Field("whether the machine is virtual; null if it does not say", "for information", since=8)
    ]
    clock_mhz: Annotated[
        float | None, Field("the processor's highest clock as the cell began", "for information", unit="MHz", since=8)
    ]
    memory_mib: Annotated[int, Field("memory of the machine", "what fits, and what is swapped", unit="MiB")]
    gpus: Annotated[
        list[str], Field("name of the GPU that computes; before schema 9 of all; none if a CPU does", "as `cpu`")
    ]
    gpu_uuids: Annotated[
        list[str], Field("a digest of the UUID of each of them", "equal cards are told apart, for information", since=8)
    ]
    gpu: Annotated[
        GpuFacts, Field("the GPU that computes", "one of its name may be set otherwise", since=9, only=ON_GPU)
    ]
    gpu_processes: Annotated[
        int,
        Field("other processes that computed on the GPU as the worker began", "they share it", since=9, only=ON_GPU),
    ]
    driver: Annotated[str | None, Field("version of NVIDIA's driver", "it compiles, and sets clocks")]
    system: Annotated[str, Field("operating system", "it schedules threads and hands out memory")]
    system_release: Annotated[str, Field("its release", "as `system`")]
    python: Annotated[str, Field("version of Python", "it runs the input pipeline")]
    versions: Annotated[
        dict[str, str],
        Field(
            "versions of bcdl and of the packages that can change a figure",
            "what `bcdl compare` sets apart",
            keys=("package",),
        ),
    ]
    commit: Annotated[
        str | None, Field("git commit of the source; null if it is no checkout", "a figure can be had again from it")
    ]
    dirty: Annotated[
        bool | None, Field("whether tracked files differed from the commit", "then it is not had again: `*` marks it")
    ]
    code: Annotated[
        str | None,
        Field(
            "digest of the source files that the worker imports", "`--resume` runs again what other code made", since=3
        ),
    ]
    code_changed: Annotated[
        bool, Field("whether a file of the worker changed while it ran", "nobody knows then which code ran", since=8)
    ]
    variables: Annotated[
        dict[str, str],
        Field(
            "the variables set that frameworks read; never a path or a secret",
            "they change figures, and stand in no setting",
            since=8,
            keys=("variable",),
        ),
    ]
    threads: Annotated[
        dict[str, int],
        Field("threads of the backend's pools", "a rate is one of so many threads", since=8, keys=("pool",)),
    ]
    input_pipeline: Annotated[
        InputPipelineFacts, Field("what made the batches of `fit`", "an epoch may be bounded by it", since=9)
    ]
    process: Annotated[
        Process, Field("the process that measured the cell", "cells that share one are not alone", since=7)
    ]
    scheduler: Annotated[
        Scheduler,
        Field("the scheduler's job that measured the cell", "a job can be found again", since=11, only=SCHEDULED),
    ]
    device: Annotated[
        str, Field("the device that computed, by the framework's own name", "it is the one that was asked for")
    ]
    platform: Annotated[str, Field("`cpu` or `gpu`, as the framework says", "as `device`")]
    precision_flags: Annotated[
        dict[str, Any],
        Field(
            "the framework's settings of precision, as read back", "defaults differ between frameworks", keys=("flag",)
        ),
    ]
    autotune: Annotated[
        str,
        Field(
            "what chooses convolution kernels by timing them; `off` if nothing does",
            "one framework does so in any case, another only if asked",
            since=9,
        ),
    ]
    compilation_cache: Annotated[
        str,
        Field("`off`, `cold`, `warm` or `partly warm` at the first step", "a warm first step is no cold one's equal"),
    ]
    jit_compile: Annotated[bool, Field("whether Keras compiles the model", "the default differs between backends")]
    arithmetic: Annotated[
        dict[str, str],
        Field(
            "the arithmetic found by rounding: `float32`, `tf32` or `bfloat16`",
            "flags say what is allowed, not what is used",
            since=2,
            keys=("operation",),
        ),
    ]
    notes: Annotated[
        list[str],
        Field(
            "what a person should know of how the cell was measured, in sentences",
            "nothing is left out or guessed silently",
            since=9,
            only=NOTED,
        ),
    ]
    memory_pool: Annotated[
        str,
        Field(
            "how the framework takes the GPU's memory: by which allocator, how much and when",
            "the largest batch depends on it",
            since=9,
            only="on a GPU",
        ),
    ]
    lacking: Annotated[
        str,
        Field("why the hardware lacks this arithmetic; empty if it has it", "an emulated rate is marked", since=2),
    ]
    gpu_idle: Annotated[
        GpuWatched,
        Field(
            "what the GPU reported while `idle_power_w` was read",
            "its clock says whether it had gone to rest after the work of others",
            since=9,
            only=ON_GPU,
        ),
    ]
    gpu_state: Annotated[
        dict[str, GpuState],
        Field(
            "what the GPU reported of each regime", "a throttled rate is marked", since=2, keys=("regime",), only=ON_GPU
        ),
    ]
    disturbance: Annotated[
        dict[str, Disturbance],
        Field(
            "what else happened while each regime was timed",
            "a rate that something disturbed is marked",
            since=8,
            keys=("regime",),
            only=TIMED,
        ),
    ]
    clock: Annotated[ClockFacts, Field("how the time of day moved", "moments tell no order if it jumped", since=8)]
