"""The PyTorch backend: a network as plain `nn.Module` classes, for training and everything else that lives there."""
