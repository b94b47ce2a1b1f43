"""`segattn completion`: what the TAB key offers."""

import shutil
import subprocess

import pytest

from segattn import experiments, heads
from segattn.cli import completion, main
from segattn.cli.commands import COMMANDS, SUBCOMMANDS


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """The script for bash."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BASH_COMPLETION_USER_DIR", str(home))
        assert main(["completion", "bash"]) == 0
    return home / "completions/segattn"


def offered(script, *words):
    """What bash offers for the last of the words."""
    lines = (
        f'source "$1"; COMP_WORDS=(segattn {" ".join(words)}); COMP_CWORD={len(words)}; COMP_LINE="${{COMP_WORDS[*]}}"'
    )
    call = f'{lines}; _shtab_segattn; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", call, "bash", str(script)], capture_output=True, text=True, timeout=30)
    assert done.stderr == ""
    return {word.strip() for word in done.stdout.splitlines()} - {""}


def test_bash_completes_commands(script):
    assert offered(script, "''") >= COMMANDS.keys()
    assert offered(script, "stu") == {"study"}


def test_bash_completes_what_follows_a_command(script):
    assert set(experiments.names()) | {"status"} <= offered(script, "study", "''")
    assert offered(script, "data", "''") >= set(SUBCOMMANDS["data"])
    assert offered(script, "heads", "cc") == {"ccnet"}


def test_bash_completes_options_and_their_values(script):
    assert offered(script, "study", "quick", "--feat") == {
        *("--features", "--features-limit", "--features.copies", "--features.dtype", "--features.seed")
    }
    assert offered(script, "train", "quick", "--head", "dan") == {"danet"}
    assert offered(script, "flops", "--mode", "f") == {"faithful"}
    assert {"--watch", "--every"} <= offered(script, "study", "status", "--")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_accept_the_script(shell, capsys, tmp_path):
    assert main(["completion", shell, "--print"]) == 0
    text = capsys.readouterr().out
    for word in (*COMMANDS, "features-limit", *heads.names()):
        assert word in text
    if shutil.which(shell):
        path = tmp_path / "script"
        path.write_text(text)
        subprocess.run([shell, "-n", str(path)], check=True, timeout=60)


def test_a_percent_sign_in_a_help_text_stays_one(monkeypatch, capsys):
    monkeypatch.setattr(completion, "descriptions", lambda owner: {"seed": "is 1 % better"})
    assert main(["completion", "fish", "--print"]) == 0
    assert "'is 1 % better'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("shell", "environment", "path"),
    [
        ("bash", {}, ".local/share/bash-completion/completions/segattn"),
        ("bash", {"XDG_DATA_HOME": "/share"}, "/share/bash-completion/completions/segattn"),
        ("zsh", {}, ".zfunc/_segattn"),
        ("zsh", {"ZDOTDIR": "/z"}, "/z/.zfunc/_segattn"),
        ("fish", {"XDG_CONFIG_HOME": "/config"}, "/config/fish/completions/segattn.fish"),
    ],
)
def test_script_is_where_the_shell_looks(shell, environment, path, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert completion._place(shell, environment) == tmp_path / path


def test_it_says_where_and_what_is_left_to_do(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("ZDOTDIR", str(tmp_path / "new"))
    assert main(["completion", "zsh"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Written to {tmp_path}/new/.zfunc/_segattn.\n")
    assert f"fpath+=({tmp_path}/new/.zfunc)" in shown


def test_unknown_shell_is_named(capsys):
    assert main(["completion", "tcsh"]) == 2
    assert "unknown value 'tcsh'" in capsys.readouterr().err
