"""The GAN itself: its architecture as data, its networks, its losses and its training step."""
