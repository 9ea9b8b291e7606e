"""The command `reelstore`: its commands, and the one place where errors become lines and exit codes.

Modules that take long to import are imported by the commands that need them, so that `reelstore --help` and shell
completion answer at once.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from reelstore import __version__
from reelstore.cli import (
    capacity,
    db,
    demo,
    download,
    events,
    exit_codes,
    node,
    output,
    policies,
    quarantine,
    rebalance,
    removal,
    ring,
    serve,
    servers,
    status,
    upload,
    verify,
    videos,
    worker,
)
from reelstore.cli.exit_codes import ExitCode
from reelstore.cli.failures import explain


class ReelstoreGroup(TyperGroup):
    """End every command with one line and the right exit code, never with a traceback for a user's mistake."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - Typer's own context, of a class it keeps private
        """Run the command that was named."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except (KeyboardInterrupt, typer.Abort):
            output.say("reelstore: interrupted")
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        except BrokenPipeError:
            # Python flushes at exit once more; what it still holds may go nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(ExitCode.BROKEN_PIPE) from None
        except Exception as error:
            failure = explain(error)
            if failure is None:
                raise
            output.say(f"reelstore: {output.printable(str(failure))}")
            raise typer.Exit(failure.code) from None
        return result


app = typer.Typer(
    name="reelstore",
    cls=ReelstoreGroup,
    help="Keep videos on a changing set of servers, and trust them with the only copy.",
    epilog=exit_codes.epilog(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=True,
    # Plain help: rich takes as long to import as everything else together.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:
    if asked:
        output.line(f"reelstore {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Take the options that belong to no command."""


serve.register(app)
worker.register(app)
node.register(app)
db.register(app)
demo.register(app)
upload.register(app)
download.register(app)
videos.register(app)
verify.register(app)
quarantine.register(app)
servers.register(app)
removal.register(servers.servers_app)
ring.register(app)
policies.register(app)
rebalance.register(app)
status.register(app)
capacity.register(app)
events.register(app)


def main() -> None:
    """Run the command line; the entry point of the package."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # begun with `>&-`; its number must not go to a file that is opened later
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - open until the end
        # A terminal that cannot show a character gets its escape sequence, and nobody a traceback.
        getattr(sys, name).reconfigure(errors="backslashreplace")
    app(prog_name="reelstore")
