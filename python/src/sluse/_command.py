"""How the commands of this package end."""

from __future__ import annotations

import json
import sys
from typing import Any, Callable

from . import errors


def run(work: Callable[[], Any]) -> int:
    """Does a command's work and prints what came of it: an exit code."""
    try:
        made = work()
    except errors.SluseError as error:
        print(f"Error: {error.message}", file=sys.stderr)
        for label, texts in (("Caused by", error.causes), ("Hint", error.hints)):
            for text in texts:
                print(f"{label}: {text}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"Error: {error}", file=sys.stderr)
        return errors.Fault.exit_code
    print(json.dumps(made))
    return 0
