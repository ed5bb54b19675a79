"""The settings of a training, with no number left open."""

from dataclasses import dataclass

from train.schedules import ScheduleName


@dataclass(frozen=True)
class Settings:
    """How a model is trained."""

    exposures: int | float
    """How often every person is seen; with `tokens`, about how often."""
    optimizer: str
    """A name of `OPTIMIZERS`."""
    lr: float
    embedding_lr: float
    weight_decay: float
    beta1: float
    beta2: float
    eps: float
    momentum: float
    warmup_steps: int
    final_lr: float
    """The learning rate at the end, as a share of the peak."""
    clip: float
    """Largest norm of the gradient."""
    bf16: bool
    """Whether the inputs of matrix products are rounded to bf16; the weights themselves stay fp32."""
    compile: bool
    native: bool
    """Whether the compiled kernels of train/native take the place of PyTorch's operators (CPU)."""
    tokens: int | None = None
    """Tokens to predict in the whole training, which then end it and are its clock in place of exposures."""
    schedule: ScheduleName = "cosine"
    """How the learning rate falls."""
    decay_share: float = 0.2
    """wsd: the share of the training in which the learning rate falls."""
