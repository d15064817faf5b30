"""What all parts of the local preview backend use."""
