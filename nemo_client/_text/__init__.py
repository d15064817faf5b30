"""What people read and write: texts by id, requests in words, the agent's talk of its web page."""
