"""Many items: what they are made from, where they run, and what they leave behind."""
