"""A trained model with its people, ready to be written and read."""

import numpy as np
import torch

from biogen.config import EVALUATION
from eval.decode import form_texts
from eval.hf import HuggingFaceModel, load
from eval.measuring import make_readable, read_data
from eval.proof.exact import Exact
from eval.prove import write_people
from eval.recall import recall_people


class Proved:
    def __init__(self, run, spoil=lambda model: None):
        self.run, self.config = run, read_data(run.path)
        self.model, self.tokenizer = load(str(run.model))
        spoil(self.model)
        readable = make_readable(self.model, self.tokenizer, self.config, run.path)
        self.source, self.parameters = readable.source, readable.parameters
        self.dataset, self.blanked = self.source.dataset, form_texts(self.config, self.tokenizer)
        self.everyone = np.arange(self.config.people)
        reader = HuggingFaceModel(self.model, torch.device("cpu"))
        self.recall = recall_people(reader, self.source, self.everyone, EVALUATION)

    def exact(self, batch=64):
        return Exact(self.model, torch.device("cpu"), batch)

    def write(self, batch=64):
        return write_people(self.blanked, self.exact(batch), self.source)
