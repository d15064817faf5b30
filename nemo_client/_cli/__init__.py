"""The shell command `nemo-video`: `main` is where it starts."""

from .main import main as main
