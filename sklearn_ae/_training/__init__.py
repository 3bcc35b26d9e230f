"""How the networks are trained: rows on a device, batches, stopping, and a thin skorch net."""
