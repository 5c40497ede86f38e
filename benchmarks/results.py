"""results.md: one section for each benchmark, replaced when the benchmark runs again."""

import re
from pathlib import Path

RESULTS = Path(__file__).with_name("results.md")


def write_section(name: str, text: str) -> None:
    """Put a benchmark's report under its heading in results.md and on the screen."""
    old = RESULTS.read_text() if RESULTS.is_file() else "# Measured\n"
    section = f"## {name}\n\n{text}\n"
    pattern = re.compile(rf"## {re.escape(name)}\n.*?(?=\n## |\Z)", flags=re.DOTALL)
    new = pattern.sub(lambda _: section, old) if pattern.search(old) else f"{old}\n{section}"
    RESULTS.write_text(new)
    print(f"\n{section}\n-> {RESULTS}")
