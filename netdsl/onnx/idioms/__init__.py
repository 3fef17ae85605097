"""Operators that exporters took apart, put together again."""
