"""The command line: every subcommand is one library call."""

import sys
from collections.abc import Callable, Sequence

import tyro

from snowai.cli import filters, pairs, sets, styles
from snowai.cli.training import preset_in, train_command
from snowai.cli.words import say

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 well, 1 some photos failed, 2 an error.

    Errors are one sentence on standard error; ``--debug`` shows where they come from.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        app = _app(preset_in(arguments))
        return int(
            app.cli(prog="snowai", description="Build AI face filters.", args=arguments) or 0
        )
    except KeyboardInterrupt:
        say("snowai: stopped.", error=True)
        return 130
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        if debug:
            raise
        command = " ".join(word for word in arguments[:1] if not word.startswith("-"))
        say(f"snowai {command}: {error}", error=True)
        return 2


def _app(preset: str) -> tyro.extras.SubcommandApp:
    app, pairs_app, style_app = (tyro.extras.SubcommandApp() for _ in range(3))
    commands: list[tuple[tyro.extras.SubcommandApp, list[Callable[..., int]]]] = [
        (app, [filters.apply, train_command(preset), filters.models, filters.demo, styles.convert]),
        (
            pairs_app,
            [
                pairs.check,
                pairs.draw,
                pairs.render,
                pairs.rerender,
                pairs.retouch,
                sets.select,
                sets.balance,
                sets.export,
            ],
        ),
        (
            style_app,
            [
                styles.train,
                styles.blend,
                styles.sample,
                styles.score,
                styles.direction,
                styles.invert,
            ],
        ),
    ]
    for room, functions in commands:
        for function in functions:
            room.command(function)
    pairs_app.command(name="import")(sets.import_set)
    style_app.command(name="grow")(styles.grow_latents)
    app.command(pairs_app, name="pairs")
    app.command(style_app, name="style")
    return app
