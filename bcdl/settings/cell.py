"""The cell: what is to be run, with every setting resolved. One row a setting, from which all else about it follows.

To add a setting is to add its row here, as the last one, and to use it: see `bcdl.settings.setting.Setting`.
"""

import dataclasses
import functools
from typing import Annotated, Any, Self
from urllib.parse import quote, unquote

from bcdl.errors import UsageError
from bcdl.settings.setting import SILENT, Setting, Words, rows
from bcdl.settings.words import draw_words

MOMENTUM = 0.9  # of SGD
ZOOM = 0.2  # how far augmentation zooms, to either side of 1

# The most that an option takes: beyond what anybody trains, and within what every backend computes.
MOST_SEED = 2**31 - 1  # Keras keeps seeds as int32 on one of its backends
MOST_PIXELS = 8192  # of a side; whole slides are cut into tiles
MOST_BATCH = 1_000_000
MOST_EPOCHS = 100_000
MOST_FOLDS = 1000
MOST_STEPS = 1_000_000
# Of a learning rate: float32, in which it is computed with, has 0 below and infinity above.
LEAST_RATE, MOST_RATE = 1e-30, 1e38

_BATCH_NORM_IN_A_LINE = {"moving": "Keras's averages", "faster": "faster averages", "frozen": "frozen batch norms"}
_BATCH_NORM_IN_A_CARD = {
    "moving": "batch norms as Keras averages them",
    "faster": "batch norms averaged faster",
    "reestimated": "batch norms re-estimated on training images after every epoch",
    "frozen": "the backbone's batch norms frozen, the head's re-estimated",
}


def _optimizer(cell: "Cell") -> str:
    """The title of its optimizer."""
    return {"adam": "Adam", "sgd": "SGD"}.get(cell.optimizer, cell.optimizer)


def _momentum(cell: "Cell") -> str:
    return f", momentum {MOMENTUM}" if cell.optimizer == "sgd" else ""


@dataclasses.dataclass(frozen=True)
class Cell:
    """One model on one backend, with one set of settings and one seed; each field is the row of a setting.

    A cell holds names, never paths: `data` and `weights` are the base names of files or folders, and
    the record adds their checksums.

    Raises:
        ValueError: a value is out of its row's range, or there is no such fold.
    """

    model: Annotated[
        str,
        Setting(
            help="name of a row of `bcdl.settings.models.MODELS`", given_by="command", within_table="line", words=SILENT
        ),
    ]
    backend: Annotated[
        str, Setting(help="name of a folder of `backends/`", given_by="command", within_table="column", words=SILENT)
    ]
    device: Annotated[
        str,
        Setting(
            help="device that computes; if not given, `gpu` if there is an NVIDIA GPU",
            choices=("cpu", "gpu"),
            words=Words(75, lambda cell: "on a GPU" if cell.device == "gpu" else ""),
            card=SILENT,  # the card's item on hardware says it
        ),
    ]
    profile: Annotated[
        str,
        Setting(
            help="settings to start from: `smoke` (cnn and mobilenet, minutes for all backends), `quick` (all "
            "models, about 10 to 15 minutes a backend on 2 CPU cores), `accuracy` (cnn, tested on enough "
            "drawings for an interval; `nox` and `pytest benchmarks` run it after `quick` if no setting is given), "
            "`gpu` (all models, 224x224, batch 32, every arithmetic, those of most value first; the default on a GPU) "
            "or `full` (the source study's settings: 224x224, batch 32, 10 epochs, ImageNet weights, three seeds)",
            default="quick",
            words=Words(80, lambda cell: f"profile {cell.profile}"),
            card=SILENT,
        ),
    ]
    data: Annotated[
        str,
        Setting(
            metavar="DATA",
            help="data set: `synthetic` or `synthetic-COUNT` (drawings), `breastmnist` (downloaded), a MedMNIST "
            "`.npz`, or a folder of `benign/` and `malignant/` images, with or without `train/`, `val/`, `test/` "
            "above; `groups.csv` (path, class, group) or BreaKHis file names give patients; other layouts, tables and "
            "DICOM: docs/data.md",
            words=SILENT,  # a title begins with it, and a card has an item of it
        ),
    ]
    magnification: Annotated[
        int,
        Setting(
            help="keep BreaKHis images of this magnification only; 0 for all",
            default=0,
            choices=(0, 40, 100, 200, 400),
            wrong="is not one of BreaKHis's: 40, 100, 200, 400",
        ),
    ]
    image_size: Annotated[
        int,
        Setting(
            help="height and width that the images are resized to, pixels",
            least=1,
            most=MOST_PIXELS,
            words=Words(20, lambda cell: f"{cell.image_size}x{cell.image_size}"),
            card=SILENT,  # the card's item on preparation says it
        ),
    ]
    batch_size: Annotated[
        int,
        Setting(
            help="images a training, validation and test batch",
            least=1,
            most=MOST_BATCH,
            words=Words(30, lambda cell: f"batch {cell.batch_size}"),
            card=Words(20, lambda cell: f"batches of {cell.batch_size}"),
        ),
    ]
    epochs: Annotated[
        int,
        Setting(
            help="passes over the training images, those of the head alone left out",
            least=1,
            most=MOST_EPOCHS,
            words=Words(40, lambda cell: f"{cell.epochs} epochs"),
            card=Words(
                40,
                lambda cell: (
                    f"{cell.epochs} epochs"
                    + (f", fewer after {cell.patience} without a better one" if cell.patience else "")
                ),
            ),
        ),
    ]
    head_epochs: Annotated[
        int,
        Setting(
            help="passes before those in which the head alone is trained, at ten times the learning rate",
            within_table="line",
            default=0,
            least=0,
            most=MOST_EPOCHS,
            words=Words(10, lambda cell: f"head alone for {cell.head_epochs} epochs first" if cell.head_epochs else ""),
            card=Words(
                30,
                lambda cell: (
                    f"the head alone for {cell.head_epochs} epochs first"
                    if cell.head_epochs
                    else "all layers from the start"
                ),
            ),
            since=4,
            before=0,
        ),
    ]
    keep: Annotated[
        str,
        Setting(
            help="epoch whose weights are tested: the best by validation loss, or the last",
            within_table="line",
            default="best",
            choices=("best", "last"),
            words=Words(50, lambda cell: f"{cell.keep} epoch" if cell.keep != "best" else ""),
            card=Words(
                50,
                lambda cell: "the epoch of least validation loss" if cell.keep == "best" else "the last epoch",
            ),
            since=4,
            before="last",
        ),
    ]
    patience: Annotated[
        int,
        Setting(
            help="stop after so many epochs without a better validation loss; 0 for never",
            within_table="line",
            default=0,
            least=0,
            most=MOST_EPOCHS,
            words=Words(40, lambda cell: f"patience {cell.patience}" if cell.patience else ""),
            card=SILENT,  # said with the epochs
            since=4,
            before=0,
        ),
    ]
    learning_rate: Annotated[
        float,
        Setting(
            help="learning rate of the optimizer; of the head alone, ten times as much",
            default=1e-4,
            least=LEAST_RATE,
            most=MOST_RATE,
            words=SILENT,  # said with the optimizer
        ),
    ]
    class_weights: Annotated[
        bool,
        Setting(
            help="weigh the loss as if the classes were equally frequent",
            within_table="line",
            default=False,
            words=Words(30, lambda cell: "balanced loss" if cell.class_weights else ""),
            card=SILENT,  # the card's item on imbalance says it
            since=4,
            before=False,
        ),
    ]
    batch_norm: Annotated[
        str,
        Setting(
            help="statistics that inference normalises by ([why](docs/evaluation.md))",
            within_table="line",
            default="reestimated",
            choices=("moving", "faster", "reestimated", "frozen"),
            words=Words(20, lambda cell: _BATCH_NORM_IN_A_LINE.get(cell.batch_norm, "")),
            card=Words(60, lambda cell: _BATCH_NORM_IN_A_CARD.get(cell.batch_norm, cell.batch_norm)),
            since=4,
            before="moving",
        ),
    ]
    weights: Annotated[
        str,
        Setting(
            metavar="WEIGHTS",
            help="what backbones start from: `none`, `imagenet` (Keras downloads it), a file, or a file a model as in "
            "`mobilenet=FILE,resnet50=FILE`",
            within_table="line",
            words=SILENT,  # a column of its own in tables, and part of an item in cards
        ),
    ]
    precision: Annotated[
        str,
        Setting(
            help="kinds of arithmetic, separated by commas; `float32` has TF32 off",
            default="float32",
            choices=("float32", "tf32", "mixed_bfloat16"),
            several=True,
            words=Words(10, lambda cell: cell.precision),
            card=Words(70, lambda cell: f"{cell.precision} arithmetic"),
        ),
    ]
    augment: Annotated[
        bool,
        Setting(
            help="rotate, zoom and flip training images",
            default=True,
            words=Words(60, lambda cell: "augmented" if cell.augment else "not augmented"),
            card=SILENT,  # the card's item on preparation says it
        ),
    ]
    seed: Annotated[
        int,
        Setting(
            help="seeds, separated by commas, of initial weights, order of images, augmentation and dropout",
            within_table="draw",
            aliases=("--seeds",),
            least=0,
            most=MOST_SEED,
            same_model=True,
            several=True,
            words=Words(10, lambda cell: f"seed {cell.seed}"),
        ),
    ]
    split_seed: Annotated[
        int,
        Setting(
            help="seed of the train, validation and test split, apart from `--seed` so that seeds share a test set",
            default=0,
            least=0,
            most=MOST_SEED,
            same_model=True,
            card=SILENT,  # the card's item on the split says it
        ),
    ]
    split_by: Annotated[
        str,
        Setting(
            help="what a split never cuts: a `group` (no patient is on two sides), or only an `image`, which leaks and "
            "is marked so; `group,image` shows the leakage premium",
            default="group",
            choices=("group", "image"),
            same_model=True,
            several=True,
            words=Words(100, lambda cell: "LEAKY: split by image" if cell.split_by == "image" else ""),
            card=SILENT,  # the card's item on the split says it
            since=4,
            before="group",
        ),
    ]
    folds: Annotated[
        int,
        Setting(
            help="cross-validate over so many folds, each the test set once; 0 for a single split",
            default=0,
            least=0,
            most=MOST_FOLDS,
            words=Words(90, lambda cell: f"{cell.folds} folds" if cell.folds else ""),
            card=SILENT,  # the card's item on the split says it
            since=4,
            before=0,
        ),
    ]
    fold: Annotated[
        int,
        Setting(
            help="the only fold to test, counted from 0; if not given, every fold",
            within_table="draw",
            least=0,
            most=MOST_FOLDS - 1,
            same_model=True,
            words=Words(20, lambda cell: f"fold {cell.fold}" if cell.folds else ""),
            since=4,
            before=0,
        ),
    ]
    timing: Annotated[
        bool,
        Setting(
            help="measure rates, besides accuracy",
            default=True,
            words=SILENT,  # the group's tables show whether there are rates
            since=4,
            before=True,
        ),
    ]
    windows: Annotated[
        int,
        Setting(
            help="timed windows of the step and predict regimes",
            given_by="profile",
            least=1,
            most=MOST_STEPS,
            words=SILENT,  # a title names the profile, which alone gives it
        ),
    ]
    window_steps: Annotated[
        int,
        Setting(
            help="steps a window",
            given_by="profile",
            least=1,
            most=MOST_STEPS,
            words=SILENT,  # a title names the profile, which alone gives it
        ),
    ]
    optimizer: Annotated[
        str,
        Setting(
            help=f"optimizer of the weights; `sgd` has momentum {MOMENTUM}",
            default="adam",
            choices=("adam", "sgd"),
            words=Words(50, lambda cell: f"{_optimizer(cell)} {cell.learning_rate:g}{_momentum(cell)}"),
            card=Words(10, lambda cell: f"{_optimizer(cell)}{_momentum(cell)}, rate {cell.learning_rate:g}"),
            since=6,
            before="adam",
        ),
    ]
    data_format: Annotated[
        str,
        Setting(
            help="layout of images and maps inside the model; `channels_last` is Keras's own",
            within_table="line",
            default="channels_last",
            choices=("channels_last", "channels_first"),
            words=Words(60, lambda cell: cell.data_format if cell.data_format != "channels_last" else ""),
            since=9,
            before="channels_last",
        ),
    ]
    input_transfer: Annotated[
        str,
        Setting(
            help="how batches reach a GPU in training: `keras` hands NumPy arrays to `fit`, `prefetched` copies them "
            "ahead, while the GPU computes",
            within_table="line",
            default="keras",
            choices=("keras", "prefetched"),
            words=Words(70, lambda cell: f"{cell.input_transfer} input" if cell.input_transfer != "keras" else ""),
            since=9,
            before="keras",
        ),
    ]
    autotune: Annotated[
        str,
        Setting(
            help="choice of a GPU's convolution kernels: `keras` leaves it to the framework, `on` has it time them and "
            "take the fastest",
            within_table="line",
            default="keras",
            choices=("keras", "on"),
            since=9,
            before="keras",
        ),
    ]
    class_map: Annotated[
        str,
        Setting(
            metavar="NAME=CLASS,...",
            help="class of each name of a folder, or of each label of a table, that does not say it itself, as in "
            "`benign cases=benign,1=malignant`",
            default="",
            since=10,
            before="",
        ),
    ]
    labels: Annotated[
        str,
        Setting(
            metavar="FILE",
            help="table (CSV) that says the class of each image; if not given, folders do",
            default="",
            since=10,
            before="",
        ),
    ]
    image_column: Annotated[
        str,
        Setting(
            metavar="HEADER",
            help="column of `--labels` with an image's path or name; if not given, it is found by its usual names",
            default="",
            since=10,
            before="",
        ),
    ]
    label_column: Annotated[
        str,
        Setting(
            metavar="HEADER",
            help="column of `--labels` with the class; if not given, it is found by its usual names",
            default="",
            since=10,
            before="",
        ),
    ]
    group_column: Annotated[
        str,
        Setting(
            metavar="HEADER",
            help="column of `--labels` with the patient or group; if not given, it is found by its usual names; "
            "without one, patients are looked for as in any folder",
            default="",
            since=10,
            before="",
        ),
    ]
    grey_bits: Annotated[
        int,
        Setting(
            help="depth of grey images of more than 8 bits, from 8 to 16; 0 finds the data set's own",
            default=0,
            metavar="N",
            choices=(0, 8, 9, 10, 11, 12, 13, 14, 15, 16),
            since=10,
            before=0,
        ),
    ]
    test: Annotated[
        bool,
        Setting(
            help="score the test images; with `--no-test` no model sees them, so that settings are chosen without them",
            default=True,
            words=Words(85, lambda cell: "" if cell.test else "validation images alone"),
            since=12,
            before=True,
        ),
    ]
    preprocessing: Annotated[
        str,
        Setting(
            help="scaling of pixels: `model`, as the weights of the backbone expect it, or `none`, which leaves them "
            "from 0 to 255, as in the source study",
            within_table="line",
            default="model",
            choices=("model", "none"),
            words=Words(25, lambda cell: "" if cell.preprocessing == "model" else "pixels not scaled"),
            card=SILENT,  # the card's item on preparation says it
            since=13,
            before="model",
        ),
    ]
    zoom_range: Annotated[
        float,
        Setting(
            help="how far augmentation zooms: by factors from 1 - X to 1 + X; beyond 1 (the source study took 2), "
            "images are also mirrored and shrink to nothing",
            within_table="line",
            default=ZOOM,
            least=0,
            most=10,
            words=Words(26, lambda cell: "" if cell.zoom_range == ZOOM else f"zoom range {cell.zoom_range:g}"),
            card=SILENT,  # the card's item on preparation says it
            since=13,
            before=ZOOM,
        ),
    ]

    def __post_init__(self) -> None:
        for name, row in self.rows().items():
            try:
                row.check(getattr(self, name))
            except ValueError as error:
                raise ValueError(f"{name} {error}") from error
        if self.fold >= max(1, self.folds):
            raise ValueError(f"fold is {self.fold}, none of {self.folds} folds")

    @classmethod
    def rows(cls) -> dict[str, Setting]:
        """The settings by the names of their fields, in order."""
        return rows(cls)

    @property
    def id(self) -> str:
        """The cell as one line of `key=value` pairs, the same on every machine; `Cell.parse` reads it back."""
        return ",".join(f"{key}={quote(str(value), safe='')}" for key, value in self.to_dict().items())

    @property
    def title(self) -> str:
        """The cell in words that distinguish it from the others of a run."""
        parts = (
            f"{self.model} on {self.backend}",
            self._arithmetic,
            self.draw,
            "" if self.timing else "accuracy alone",
            "" if self.test else "not tested",
        )
        return ", ".join(part for part in parts if part)

    @property
    def draw(self) -> str:
        """What chance decides in the cell: its seed, and its part of the data if that is not the plain split."""
        return f"{draw_words(self)}{', by image' if self.split_by == 'image' else ''}"

    @property
    def stem(self) -> str:
        """The stem of a file name that distinguishes the cell from the others of a run."""
        draw = self.draw.replace(", ", "-").replace(" ", "")
        kind = ("" if self.timing else "accuracy", "" if self.test else "validation")
        parts = (self.model, self.backend, self._arithmetic, draw, *kind)
        return "-".join(part for part in parts if part)

    @property
    def _arithmetic(self) -> str:
        """Its precision, if that is not the usual one."""
        return "" if self.precision == self.rows()["precision"].usual else self.precision

    @classmethod
    def parse(cls, cell_id: str) -> Self:
        """The cell whose id is `cell_id`; UsageError if no cell has such an id."""
        try:
            pairs = dict(pair.split("=", 1) for pair in cell_id.split(","))
            return cls.from_dict({key: unquote(value) for key, value in pairs.items()})
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{cell_id!r} is not a cell's id ({error}); an id is made by Cell.id") from error

    def to_dict(self) -> dict[str, Any]:
        """The values by the names of their settings, in order, as JSON has them."""
        return {name: getattr(self, name) for name in self.rows()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The cell with these values, each read by its row (JSON numbers and texts alike).

        Raises:
            KeyError: a setting is missing, or there is no setting of a name.
            ValueError: a value is of another kind, or out of its row's range.
        """
        settings = cls.rows()
        unknown = values.keys() - settings.keys()
        if unknown:
            raise KeyError(f"unknown keys: {', '.join(sorted(unknown))}")
        return cls(**{name: _read(row, values[name]) for name, row in settings.items()})

    @classmethod
    def upgraded(cls, values: dict[str, Any], schema: int) -> dict[str, Any]:
        """The values of a cell in a record of an older schema, and those of the settings that came later."""
        return {**{name: row.before for name, row in cls.rows().items() if row.since > schema}, **values}


def _read(row: Setting, value: object) -> Any:
    is_simple = type(value) in (str, int, float, bool)
    return _read_again(row, value) if is_simple else _read_new(row, value)


@functools.lru_cache(maxsize=1000, typed=True)  # cells of a run have most of their values in common
def _read_again(row: Setting, value: object) -> Any:
    return _read_new(row, value)


def _read_new(row: Setting, value: object) -> Any:
    try:
        return row.read(value)
    except ValueError as error:
        raise ValueError(f"{row.name} {error}") from error
