"""Everything that knows ComfyUI."""
