"""Everything at work: from generators to a filter, and the workshop where pairs are made."""

from snowai.demo.chain import DemoConfig, run_demo
from snowai.demo.workshop import run_workshop

__all__ = ["DemoConfig", "run_demo", "run_workshop"]
