"""The command line ``quietwire``: commands of the service, of the client and of the offline work, put together."""

from __future__ import annotations

import sys

import typer

import compression.cli
import loadtest.cli
import quietwire.cli_stream
import service.cli
import service.commands.benchmark
import service.commands.compare

app = typer.Typer(
    name="quietwire",
    help="Streaming real-time speech denoising: serve, enhance, train, compress and load-test.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # or what stands in square brackets would be taken for markup
    context_settings={"max_content_width": 120},
    pretty_exceptions_enable=False,
)
service.cli.register(app)
service.commands.compare.register(app)
service.commands.benchmark.register(app)
quietwire.cli_stream.register(app)
compression.cli.register(app)
loadtest.cli.register(app)

USER_ERRORS = (
    *service.cli.USER_ERRORS,
    *quietwire.cli_stream.USER_ERRORS,
    *compression.cli.USER_ERRORS,
    *loadtest.cli.USER_ERRORS,
)


def main() -> None:
    """Run a command; what the user can put right is one sentence and exit code 1."""
    try:
        app()
    except USER_ERRORS as error:
        print(f"quietwire: {error}", file=sys.stderr)
        sys.exit(1)
