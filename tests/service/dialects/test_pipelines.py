"""Answers in the form of Hugging Face against transformers' own pipelines, 200 requests for each task.

`tests/fixtures/make_pipelines.py` wrote what the pipelines of transformers 4.57.6 answer, and says how it asked them.
Positions, words, labels and their order are the same, and scores within 1e-5, but for the differences that
`docs/dialects.md` lists. Each is a function here that says what it is, and nothing but that may differ.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bigbird_inference.loaded_model import LoadedModel
from tests.fixtures.pipeline_requests import FOLDER, REQUESTS, VOCABULARY, Request, fingerprint, make_models
from tests.service.running_app import running_app
from tests.service.torch_models import torch_loaded_model
