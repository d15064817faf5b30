"""The backend's HTTP API: requests, answers, the event stream, files up and down."""
