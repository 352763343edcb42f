"""`rbee completion`: the script that makes a shell complete our commands, hives, jobs and models."""

import click
from click.shell_completion import get_completion_class

VARIABLE = "_RBEE_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    \b
      bash  echo 'eval "$(rbee completion bash)"' >> ~/.bashrc
      zsh   echo 'eval "$(rbee completion zsh)"' >> ~/.zshrc
      fish  rbee completion fish > ~/.config/fish/completions/rbee.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    group = ctx.find_root().command
    click.echo(kind(group, {}, "rbee", VARIABLE).source())
