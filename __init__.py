"""NemoVideo for ComfyUI: images in, a video file out."""

if __package__:  # ComfyUI imports a pack as a package; pytest may import this file as a plain module
    from .nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS, RUNS

    __all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]

    if RUNS:
        from .nodes._panel import register

        WEB_DIRECTORY = "./web"
        register.register()
        __all__ += ["WEB_DIRECTORY"]
