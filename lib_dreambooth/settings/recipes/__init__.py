"""Recipes of other tools in and out: kohya's scripts and GUIs, the old extension, diffusers' scripts."""

from lib_dreambooth.settings.recipes.finish import Imported
from lib_dreambooth.settings.recipes.here import Candidate, Here
from lib_dreambooth.settings.recipes.reading import read_metadata, read_recipe
from lib_dreambooth.settings.recipes.report import Fate, Report

__all__ = ["Candidate", "Fate", "Here", "Imported", "Report", "read_metadata", "read_recipe"]
