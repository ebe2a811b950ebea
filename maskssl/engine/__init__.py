"""Hooks, optimizer constructor, optimizer wrapper and loops for mmengine's runner."""
