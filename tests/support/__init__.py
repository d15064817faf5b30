"""A real agent server for the tests: `google-adk` with a scripted agent, and the other endpoints before it.

A test asks for the fixture `agent_server` (`from tests.support.agents import agent_server`): it is skipped, and says
why, where the extra `agent-server` is not installed.
"""
