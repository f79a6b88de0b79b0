"""Shell completion, as a script to be loaded by the shell."""

from __future__ import annotations

import click

from icudl.cli.session import examples

SHELLS = ("bash", "zsh", "fish")


@click.command(
    epilog=examples(
        "icudl completion bash > ~/.icudl-completion.bash    # then: source ~/.icudl-completion.bash",
        "icudl completion fish > ~/.config/fish/completions/icudl.fish",
    )
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell."""
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"The installed click cannot write completion for {shell}. Upgrade click.")
    click.echo(made(context.find_root().command, {}, "icudl", "_ICUDL_COMPLETE").source())
