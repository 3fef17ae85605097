"""The `.net` text: bytes to text, text to tree, tree to text."""
