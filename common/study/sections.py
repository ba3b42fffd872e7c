"""The tables of a study file as frozen models: every key, its default, and what it means."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]

SEGMENTATION_MODELS = ("unet", "segresnet", "dynunet")
CLASSIFICATION_MODELS = ("densenet121", "resnet18", "resnet50", "seresnet50")


def _no_batch_norm(name: str) -> str:
    if name == "batch":
        raise ValueError(
            "batch norm is never used: its statistics cannot be averaged between sites and mix "
            "patients, which breaks differential privacy; use 'instance' or 'group'"
        )
    return name


class Section(BaseModel):
    """A table of the study file."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


class StudySection(Section):
    name: str = Field("phantom", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """Name of the study: letters, digits, dot, dash, underscore."""
    seed: int = Field(0, ge=0, lt=2**31)
    """One seed gives one model, to the bit."""


class TaskSection(Section):
    kind: Literal["segmentation", "classification"] = "segmentation"
    """What the model predicts: a label for every voxel, or one class for a volume."""
    classes: tuple[str, ...] = ()
    """Names of the classes by index; for segmentation the first is the background.
    Empty: as the data source says."""


class DataSection(Section):
    source: str = "phantom"
    """phantom, msd:NAME, medmnist:NAME, store:HOME/NAME (a site's dataset), or a path: an MSD
    folder, a folder with images/ and labels/, a MedMNIST .npz."""
    partition: str = "iid"
    """Who holds what: iid, dirichlet:ALPHA, quantity:SIGMA, column:NAME, file:PATH."""
    test: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.25
    """Share of each site's patients kept for the final evaluation."""
    validation: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    """Share of each site's patients used for the curves over rounds."""
    dims: Literal[2, 3] = 3
    """Two or three dimensions."""
    channels: Positive = 1
    """Image channels."""
    orientation: str = Field("", pattern=r"^([LR][AP][SI])?$")
    """Axis codes every volume is turned to, such as RAS; empty: left as it is."""
    spacing: tuple[Annotated[float, Field(gt=0)], ...] = ()
    """Voxel spacing in mm every image is resampled to; empty: left as it is."""
    crop: Literal["none", "foreground"] = "none"
    """Crop to the part that is above the image's minimum."""
    size: tuple[Positive, ...] = ()
    """Crop or pad (centred) to this size in voxels; empty: left as it is."""
    denoise: Literal["none", "mean", "median", "gaussian"] = "none"
    """Denoising filter."""
    denoise_radius: float = Field(1.0, gt=0)
    """Radius of the filter in voxels; standard deviation for gaussian."""
    window: tuple[float, ...] = ()
    """Intensities are clipped to [low, high] before normalisation; empty: no window."""
    equalise: bool = False
    """Histogram equalisation."""
    normalise: Literal["zscore", "percentile", "range", "none"] = "zscore"
    """zscore: mean 0, deviation 1; percentile: the percentiles below to [0, 1]; range: the window,
    or the image's own range, to [0, 1]."""
    percentiles: tuple[float, float] = (0.5, 99.5)
    """Low and high percentile for normalise = 'percentile'."""
    patch: tuple[Positive, ...] = (32, 32, 32)
    """Voxels the model sees at once: random crops in training, sliding window in inference."""
    label_map: dict[str, int] = Field(default_factory=dict)
    """Value found in a label file -> class index; empty: values are class indices already."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for key in ("patch", "size", "spacing"):
            value = getattr(self, key)
            if value and len(value) != self.dims:
                raise ValueError(f"{key}: has {len(value)} numbers, but dims = {self.dims}")
        if self.window and (len(self.window) != 2 or self.window[0] >= self.window[1]):
            raise ValueError("window: must be two numbers, low < high")
        if not 0 <= self.percentiles[0] < self.percentiles[1] <= 100:
            raise ValueError("percentiles: must be 0 <= low < high <= 100")
        if self.test + self.validation >= 1:
            raise ValueError("test: test + validation leave nothing to train on")
        if not self.patch:
            raise ValueError("patch: must not be empty")
        return self


class ModelSection(Section):
    name: Literal[
        "unet", "segresnet", "dynunet", "densenet121", "resnet18", "resnet50", "seresnet50"
    ] = "unet"
    """Segmentation: unet, segresnet, dynunet.
    Classification: densenet121, resnet18, resnet50, seresnet50."""
    channels: tuple[Positive, ...] = (16, 32, 64, 128)
    """Feature channels by level (unet, dynunet); the first is the width of segresnet and of the
    classifiers."""
    residual_units: int = Field(2, ge=0, le=8)
    """Residual units a level (unet)."""
    norm: Annotated[
        str, AfterValidator(_no_batch_norm), Field(pattern="^(instance|group|batch)$")
    ] = "instance"
    """instance or group. Batch norm is refused: it breaks both averaging and privacy."""
    groups: Positive = 8
    """Groups of group norm; lowered where a layer has fewer channels."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Dropout probability."""
    standardise: bool = False
    """Convolutions by weights of mean zero and deviation one: helps without batch norm."""
    start: str = ""
    """Weights to begin with: a run directory or a model.safetensors, such as of a study on public
    data or phantoms. Empty: drawn from the seed."""
    freeze: tuple[str, ...] = ()
    """Parameters left as they are, by patterns of their names such as model.0.*; what is not
    trained needs no noise."""


class AugmentSection(Section):
    flip: Fraction = 0.0
    """Probability of a flip, for each axis."""
    rotate: Fraction = 0.0
    """Probability of a rotation."""
    rotate_degrees: float = Field(15.0, ge=0, le=180)
    """Largest angle about each axis."""
    scale: Fraction = 0.0
    """Probability of a zoom."""
    scale_range: float = Field(0.15, ge=0, lt=1)
    """Largest relative change of size."""
    elastic: Fraction = 0.0
    """Probability of an elastic distortion."""
    elastic_magnitude: float = Field(2.0, ge=0)
    """Largest displacement in voxels."""
    grid: Fraction = 0.0
    """Probability of a grid distortion."""
    grid_limit: float = Field(0.2, ge=0, lt=1)
    """Largest relative displacement of a grid cell."""
    noise: Fraction = 0.0
    """Probability of Gaussian noise."""
    noise_std: float = Field(0.1, ge=0)
    """Largest standard deviation of the noise, in normalised intensity."""
    blur: Fraction = 0.0
    """Probability of a Gaussian blur."""
    blur_sigma: float = Field(1.0, ge=0)
    """Largest standard deviation of the blur in voxels."""
    contrast: Fraction = 0.0
    """Probability of a change of contrast (gamma)."""
    contrast_range: float = Field(0.3, ge=0, lt=1)
    """Gamma is drawn from 1 - range to 1 + range."""


class TrainingSection(Section):
    rounds: Positive = 20
    """Rounds of the federation."""
    local_steps: Positive = 30
    """Gradient steps a site takes in a round."""
    batch_size: Positive = 4
    """Patches (volumes, when classifying) in a step."""
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    """Optimizer of the local steps."""
    optimizer_state: Literal["reset", "keep"] = "keep"
    """reset: moments start at zero each round; keep: a site goes on with its own."""
    beta2: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.99
    """Decay of the second moment of adam and adamw; short, since a site takes few steps a round."""
    lr: float = Field(8e-3, gt=0)
    """Largest learning rate."""
    schedule: Literal["cosine", "poly", "constant"] = "cosine"
    """How the learning rate falls over the whole study, not over one round."""
    warmup: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.05
    """Share of the study over which the learning rate rises from zero."""
    weight_decay: float = Field(1e-2, ge=0)
    """Weight decay."""
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    """Momentum of sgd."""
    grad_clip: float = Field(1.0, ge=0)
    """Largest norm of a step's gradient; 0: no limit."""
    class_weights: tuple[Annotated[float, Field(ge=0)], ...] = ()
    """Weight of each class in the cross-entropy; empty: equal."""
    balance: bool = False
    """Draws every class equally often, however rare (classification; not under privacy, where
    every patient must have the same chance)."""
    foreground: Fraction = 0.3
    """Share of training patches centred on a labelled voxel (segmentation)."""
    overlap: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.5
    """Overlap of the windows in inference."""
    evaluate_every: int = Field(4, ge=0)
    """Rounds between two evaluations on the validation patients; 0: none before the end."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 autocast on a GPU and on processors that have it, else fp32."""
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    """auto, cpu, cuda or cuda:N."""
    augment: AugmentSection = AugmentSection()


class StrategySection(Section):
    name: str = "fedavg"
    """fedavg, fedprox, fedavgm, fedadam, fedyogi, fedadagrad, scaffold, fedbn, ditto, or
    flower:CLASS."""
    weighting: Literal["examples", "uniform"] = "examples"
    """How much a site counts: by its training patients, or all the same."""
    server_lr: float = Field(1.0, gt=0)
    """Step of the server along the averaged update."""
    server_momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    """fedavgm: momentum of the averaged update."""
    beta1: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    """fedadam, fedyogi, fedadagrad: decay of the first moment."""
    beta2: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.99
    """fedadam, fedyogi: decay of the second moment."""
    ema: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """The study's model is a moving average over rounds with this decay; 0: the last round's."""
    tau: float = Field(1e-3, gt=0)
    """fedadam, fedyogi, fedadagrad: floor of the adaptive denominator."""
    mu: float = Field(0.01, ge=0)
    """fedprox: pull towards the incoming weights."""
    ditto_lambda: float = Field(0.1, ge=0)
    """ditto: pull of the personal model towards the incoming weights."""
    options: dict[str, float | int | str | bool] = Field(default_factory=dict)
    """flower:CLASS: arguments of Flower's strategy."""


class ParticipationSection(Section):
    min_sites: Positive = 2
    """No round is closed on fewer sites."""
    fraction: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Share of the sites asked in a round."""
    quorum: Annotated[float, Field(gt=0.0, le=1.0)] = 0.75
    """Share of the asked sites that must answer."""
    deadline_s: float = Field(0.0, ge=0)
    """A round is closed after so many seconds if the quorum has answered; 0: wait for all asked."""
    retries: int = Field(1, ge=0)
    """How often a site that answered with an error is asked again within a round."""
    max_update_norm: float = Field(1e4, gt=0)
    """An update with a larger norm is refused."""


class SimulationSection(Section):
    sites: Positive = 4
    """Virtual hospitals."""
    patients: Positive = 24
    """Phantom patients a site has on average."""
    heterogeneity: float = Field(1.5, ge=0, le=2)
    """How far the phantom sites differ in scanner and prevalence; 0: not at all."""
    engine: Literal["inprocess", "ray"] = "inprocess"
    """inprocess: threads in this process; ray: Flower's engine, here or on the cluster at
    RAY_ADDRESS."""
    workers: int = Field(0, ge=0)
    """Sites trained at the same time; 0: one for each processor core, or one on a GPU."""
    threads: Positive = 1
    """Processor threads of each worker. Part of the result: sums in another order differ in the
    last bit."""
    epsilon_cap: float = Field(0.0, ge=0)
    """Most that may ever be spent of a site's patients; at the cap it refuses. 0: no cap."""
    baselines: bool = False
    """Also train the pooled model and each site alone, at equal steps."""
    folds: int = Field(0, ge=0)
    """Cross-validation: number of folds; 0: one split."""
    fold: int = Field(-1, ge=-1)
    """Which fold is the test set, counted from 0; -1: each in turn, one run after the other."""
