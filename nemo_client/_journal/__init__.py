"""The durable record of steps, written before the wire, so that nothing is paid twice."""
