"""Training of one network, with exact resumption."""
