"""The parts of a run, built from its configuration: the model and the batches."""

from biogen.dataset import Dataset, mean_length
from biogen.windows import Batches
from capacity.spec.config import RunConfig, Training
from train.architectures.causal_lm import CausalLM, make_model
from train.counts import Counts, counts_of
from train.sizes import parse_size


def build_model(config: RunConfig, vocab: int) -> CausalLM:
    """The model of a run; its parameters hold anything. Raises ValueError as `make_model` does."""
    return make_model(config.model.architecture, parse_size(config.size), vocab, config.model.options)


def build_batches(dataset: Dataset, config: RunConfig) -> Batches:
    """The batches of a training. Raises ValueError as `Batches` does."""
    training = config.training
    return Batches(
        dataset,
        layout=training.layout,
        context=training.context,
        batch=training.batch,
        exposures=config.exposures,
        tokens=config.budget,
    )


def counts_per_token(model: CausalLM, training: Training, dataset: Dataset) -> Counts:
    """Parameters and floating-point operations a token, in windows (or texts of the mean length) as in the training."""
    return counts_of(model, training.context if training.layout == "packed" else round(mean_length(dataset)))
