"""How a connection is made: addresses, proxies, certificates."""
