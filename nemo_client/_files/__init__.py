"""Files on this machine: pictures and sound to upload, videos saved in their place."""
