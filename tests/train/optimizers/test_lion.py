"""Lion is the formula: signs of an average, decoupled decay of matrices and tables."""

import torch

from tests.train.optimizers.test_optimizers import ARGUMENTS, draw_gradients, prepared, snapshot


def test_lion_is_the_formula_and_decays_matrices_only() -> None:
    model, (optimizer,) = prepared("lion")
    expected = {name: value.double() for name, value in snapshot(model).items()}
    average = {name: torch.zeros_like(value) for name, value in expected.items()}
    beta1, beta2 = ARGUMENTS["beta1"], ARGUMENTS["beta2"]
    for seed in (1, 2, 3):
        draw_gradients(model, seed)
        optimizer.step()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None
            gradient = parameter.grad.double()
            in_blocks = name.startswith("blocks.") and parameter.ndim == 2
            lr = ARGUMENTS["lr" if in_blocks else "embedding_lr"]
            decay = lr * ARGUMENTS["weight_decay"] if parameter.ndim == 2 else 0.0
            sign = (beta1 * average[name] + (1 - beta1) * gradient).sign()
            expected[name] = expected[name] * (1 - decay) - lr * sign
            average[name] = beta2 * average[name] + (1 - beta2) * gradient
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach().double(), expected[name], rtol=1e-5, atol=1e-6)
