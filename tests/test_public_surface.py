"""What users rely on: the public names, the commands and options, and that starting is quick."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from typer.main import get_command

import embedsearch
from embedsearch.cli.app import app

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "transformers", "sentence_transformers", "faiss")
