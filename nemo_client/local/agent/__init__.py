"""The agent: from the words of a message to a changed draft, told as a stream of events."""
