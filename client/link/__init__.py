"""The process that has the network and sees no images."""
