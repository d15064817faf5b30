"""The backend's memory: accounts, sessions, uploads, the ledger."""
