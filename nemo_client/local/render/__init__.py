"""From a draft to a video file: motion, titles, music, encoding."""
