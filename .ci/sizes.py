"""The gate on size: a module in one sitting, the heart on one page, the package in one mind."""

import sys
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "src" / "rung"
MODULE, HEART, WHOLE = 400, 150, 32_000

lines = {path.relative_to(PACKAGE).as_posix(): len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
broken = [f"{name} has {count} lines, over {MODULE}" for name, count in lines.items() if count > MODULE]
if lines["cascade/__init__.py"] > HEART:
    broken.append(f"the heart has {lines['cascade/__init__.py']} lines, over {HEART}")
if sum(lines.values()) > WHOLE:
    broken.append(f"the package has {sum(lines.values())} lines, over {WHOLE}")
sys.exit("\n".join(broken) or None)
