"""This installation: the home directory, profiles, tokens, the client id."""
