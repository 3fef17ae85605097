"""Facts about a graph, never a change."""
