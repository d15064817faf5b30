"""The /nemo routes for the browser."""
