"""What the data plane and the control plane both need, given Protocols."""
