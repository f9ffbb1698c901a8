"""``reactor completion``."""

from typing import Literal

from reactor.cli.entry import build


def completion(shell: Literal["bash", "zsh", "fish"], /) -> None:
    """Writes the script that makes a shell complete commands and options.

    bash: put ``source <(reactor completion bash)`` into ``~/.bashrc``. zsh: write it to a file ``_reactor``
    in a directory of ``$fpath``. fish: write it to ``~/.config/fish/completions/reactor.fish``.

    Example: ``reactor completion bash``

    Parameters
    ----------
    shell
        Which shell it is for.
    """
    print(build().generate_completion(shell=shell), end="")
